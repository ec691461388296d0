"""One error for everything that decoding libraries raise on damaged files."""

from collections.abc import Iterator
from contextlib import contextmanager


class DecodeError(ValueError):
    """A file is missing, damaged, or does not hold exactly one image; the message does not name the file."""


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turn any error of a decoding library into a `DecodeError`.

    On damaged bytes, Pillow and pydicom raise nearly anything, from errors of their own without a common base to those of
    zlib and struct. Put only their calls inside, so that a bug of ours is not taken for a damaged file. A
    `DecodeError` is left as it is.

    Args:
        what: The thing that is decoded, as the beginning of a sentence.

    Raises:
        DecodeError: Instead of any error except a lack of memory, which is not the fault of the file.
    """
    try:
        yield
    except (MemoryError, DecodeError):
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DecodeError(f"{what} cannot be decoded ({reason})") from error
