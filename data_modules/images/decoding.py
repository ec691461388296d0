"""Errors of libraries that decode files of others."""

from collections.abc import Iterator
from contextlib import contextmanager


class DecodeError(ValueError):
    """A file is missing, damaged, or holds something else than one image; the message says what, but not of which file."""


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Name what a library fails to decode.

    Damaged bytes make Pillow and pydicom raise nearly anything, from errors of their own, which have no common base, to
    those of zlib and struct. Only their calls belong inside, so that no mistake of ours is taken for a damaged file.

    Args:
        what: What is decoded, as the beginning of a sentence.

    Raises:
        DecodeError: Instead of any error but a lack of memory, which is not the file's.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DecodeError(f"{what} cannot be decoded ({reason})") from error
