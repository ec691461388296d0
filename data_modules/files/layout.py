"""Errors of files that are damaged, or laid out otherwise than they were published, in one line."""

import tarfile
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DAMAGED = (EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, ET.ParseError)
_OTHERWISE = (LookupError, TypeError, ValueError, AttributeError)


@contextmanager
def as_published(path: Path) -> Iterator[None]:
    """Read a file of a published data set inside this context.

    Args:
        path: The file, for the message.

    Raises:
        ValueError: If what is inside the context fails, since the file is damaged, or entries are missing or of another kind.
    """
    try:
        yield
    except (*_DAMAGED, *_OTHERWISE) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"Expected the content of '{path}' as it was published but it is damaged or laid out otherwise: {reason}. Restore "
            "the file."
        ) from error
