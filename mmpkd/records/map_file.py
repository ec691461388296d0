"""The file of a test's maps: one map an attribution and (image, finding) pair, on the patch grid, as it was scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_modules.files.array_file import damaged, read_arrays
from data_modules.files.atomic import replacing
from mmpkd.records.unit import UNITS, Unit

_MAP = "map/"
_AREA = "top_area/"


@dataclass(frozen=True)
class MapFile:
    """The maps of R (image, finding) pairs, in the order of the localization table.

    Attributes:
        sample_id: R identifiers of images.
        finding: R findings.
        maps: Float32 (R, h, w) by attribution, not scaled; NaN everywhere for a map that was not finite and so has no score.
            Pairs of one image have equal maps if the attribution knows no finding.
        frame: Height and width in pixels of the regions that they were scored against.
        top_area: Share of the frame that `iou_top_area` selected, by unit; only where it was scored.
        checkpoint: SHA-256 of the checkpoint that was tested, or None for weights that came from none.
    """

    sample_id: tuple[str, ...]
    finding: tuple[str, ...]
    maps: Mapping[str, NDArray[np.float32]]
    frame: tuple[int, int]
    top_area: Mapping[Unit, float]
    checkpoint: str | None


def write_maps(content: MapFile, path: Path) -> None:
    """Write maps, all or nothing; equal maps give equal bytes."""
    arrays = {
        "sample_id": np.array(content.sample_id, dtype=np.str_),
        "finding": np.array(content.finding, dtype=np.str_),
        "frame": np.array(content.frame, dtype=np.int64),
        # without pickle, an array cannot hold None
        "checkpoint": np.array(content.checkpoint or ""),
        **{f"{_AREA}{unit}": np.array(area) for unit, area in content.top_area.items()},
        **{f"{_MAP}{name}": maps for name, maps in content.maps.items()},
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_maps(path: Path) -> MapFile:
    """Read maps.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    arrays = read_arrays(path)
    try:
        height, width = arrays["frame"].tolist()
        return MapFile(
            sample_id=tuple(arrays["sample_id"].tolist()),
            finding=tuple(arrays["finding"].tolist()),
            maps={name.removeprefix(_MAP): maps for name, maps in arrays.items() if name.startswith(_MAP)},
            frame=(height, width),
            top_area={unit: float(arrays[_AREA + unit]) for unit in UNITS if _AREA + unit in arrays},
            checkpoint=str(arrays["checkpoint"]) or None,
        )
    except KeyError as error:
        raise damaged(path, error) from error
