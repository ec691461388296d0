"""Attribution maps of the same test images in all arms."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from mmpkd.attribution.plotting import CONTOUR_COLORS
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.execution.run import Run

NUM_CASES = 8
_QUALITY = 88


@dataclass(frozen=True)
class ArmMap:
    """The map of an arm.

    Attributes:
        arm: Name of the arm.
        source: The picture, as a data URL.
        width: Width of the picture in pixels.
        height: Its height.
    """

    arm: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Outline:
    """The outline of a region in an image.

    Attributes:
        finding: Finding of the region, marked where its label is absent.
        color: CSS colour of the outline.
    """

    finding: str
    color: str


@dataclass(frozen=True)
class Case:
    """A test image with the maps of all arms.

    Attributes:
        name: Identifier, or a number if identifiers are private.
        outlines: Regions of the image.
        maps: Maps of the arms.
    """

    name: str
    outlines: tuple[Outline, ...]
    maps: tuple[ArmMap, ...]


def gallery(tables: Sequence[RunTables]) -> tuple[Case, ...]:
    """Return test images of the first seed, each with the maps of all student arms."""
    # only the smallest seed draws maps, see `plan_runs`
    seed = min(table.run.seed for table in tables)
    own = [table for table in tables if table.run.seed == seed]
    runs = [table.run for table in own]
    names = [path.name for path in sorted(runs[0].record.maps("test").glob("*.png"))[:NUM_CASES]]
    # a report may be passed on, so it must not name credentialed images
    may_name = all(table.test.license in ("open", "synthetic") for table in tables)
    return tuple(
        Case(Path(name).stem if may_name else f"Example {position}", tuple(_outlines(own[0], name)), _maps(runs, name))
        for position, name in enumerate(names, start=1)
    )


def _outlines(table: RunTables, name: str) -> Iterator[Outline]:
    """Yield the regions of an image in the order of the labels, which is the order in which they were drawn."""
    rois = table.rois
    if rois is None:
        return
    # if the identifier has characters that a file name cannot have, nothing matches and there is no legend
    own = rois[rois["sample_id"] == Path(name).stem]
    target = dict(zip(own["finding"], own["target"], strict=True))
    for position, finding in enumerate(label for label in table.test.label_names if label in target):
        red, green, blue = CONTOUR_COLORS[position % len(CONTOUR_COLORS)]
        # a lesion can have a region though its label is absent, as a benign mass where the label is "malignant"
        title = f"{finding} (absent)" if target[finding] == 0 else finding
        yield Outline(title, f"rgb({red} {green} {blue})")


def _maps(runs: Sequence[Run], name: str) -> tuple[ArmMap, ...]:
    paths = {run.arm.name: run.record.maps("test") / name for run in runs}
    return tuple(_map(arm, path) for arm, path in paths.items() if path.is_file())


def _map(arm: str, path: Path) -> ArmMap:
    """Return a map as WebP, which is about a twentieth of the size of the PNG file."""
    with Image.open(path) as picture:
        buffer = BytesIO()
        picture.convert("RGB").save(buffer, "WEBP", quality=_QUALITY, method=4)
        source = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        return ArmMap(arm, source, picture.width, picture.height)
