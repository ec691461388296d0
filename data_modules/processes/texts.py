"""Texts and paths of a whole data set in three arrays, which processes share.

A Python object counts its references inside itself, so that a forked process copies the memory of every object that it
looks at, and the collector of unused memory looks at all. Arrays are only read.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np


class Texts(Sequence[str]):
    """Texts that cannot be changed. Equal texts, such as the report of all images of a study, are kept once.

    Args:
        texts: N texts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        place: dict[str, int] = {}
        self._place = np.fromiter((place.setdefault(text, len(place)) for text in texts), np.int64)
        # names of files may hold bytes that are not UTF-8, which Python keeps as lone surrogates
        encoded = [text.encode("utf-8", "surrogatepass") for text in place]
        self._start = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)

    def __len__(self) -> int:
        return len(self._place)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = self._place[index]
        encoded = self._bytes[self._start[place] : self._start[place + 1]]
        return encoded.tobytes().decode("utf-8", "surrogatepass")

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | tuple | Texts) else NotImplemented


class Paths(Sequence[Path]):
    """Paths that cannot be changed.

    Args:
        paths: N paths.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._texts = Texts(map(str, paths))

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> list[Path]: ...

    def __getitem__(self, index: int | slice) -> Path | list[Path]:
        if isinstance(index, slice):
            return list(map(Path, self._texts[index]))
        return Path(self._texts[index])

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | tuple | Paths) else NotImplemented
