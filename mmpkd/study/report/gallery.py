"""Attribution maps of the same test images in all arms."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.execution.run import Run

NUM_CASES = 8


@dataclass(frozen=True)
class ArmMap:
    """The map of an arm.

    Attributes:
        arm: Name of the arm.
        source: The picture, as a data URL.
    """

    arm: str
    source: str


@dataclass(frozen=True)
class Case:
    """A test image.

    Attributes:
        name: Its identifier, or its number where identifiers stay private.
        maps: The maps of the arms.
    """

    name: str
    maps: tuple[ArmMap, ...]


def gallery(tables: Sequence[RunTables]) -> tuple[Case, ...]:
    """Return the same test images of the first seed, side by side over the student arms."""
    seed = min(table.run.seed for table in tables)
    runs = [table.run for table in tables if table.run.seed == seed]
    names = [path.name for path in sorted(runs[0].record.maps("test").glob("*.png"))[:NUM_CASES]]
    # identifiers of credentialed images stay out of a page that may be passed on
    may_name = all(table.test.license in ("open", "synthetic") for table in tables)
    return tuple(
        Case(Path(name).stem if may_name else f"Image {position}", _maps(runs, name))
        for position, name in enumerate(names, start=1)
    )


def _maps(runs: Sequence[Run], name: str) -> tuple[ArmMap, ...]:
    paths = {run.arm.name: run.record.maps("test") / name for run in runs}
    return tuple(ArmMap(arm, _inline(path)) for arm, path in paths.items() if path.is_file())


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
