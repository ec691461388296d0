"""The maps and scores of a run, checked against its tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmpkd.records.map_file import MapFile, read_maps
from mmpkd.records.roi_table import PAIR
from mmpkd.records.unit import UNITS, Unit
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.report.explorer.contract import UNKNOWN
from mmpkd.study.report.explorer.images import NoExplorerError

SCORES = ("iou_top_area", "pointing_game")
_KEYS: dict[Unit, list[str]] = {"finding": list(PAIR), "image": ["sample_id"]}


@dataclass(frozen=True)
class RunMaps:
    """A run with the maps of its test.

    Attributes:
        tables: Tables of the run.
        maps: Maps of the run.
        scored: Localization table by unit, for the units that the run was scored in.
    """

    tables: RunTables
    maps: MapFile
    scored: dict[Unit, pd.DataFrame]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The (image, finding) pairs, sorted."""
        return list(zip(self.maps.sample_id, self.maps.finding, strict=True))

    def methods(self, unit: Unit) -> list[str]:
        """Return the attributions with maps, and with scores in a unit."""
        return [name for name in self.maps.maps if name in set(self.scored[unit]["attribution"])]

    def rows(self, unit: Unit, method: str) -> pd.DataFrame:
        """Return the rows of an attribution, sorted by image and finding."""
        table = self.scored[unit]
        return table[table["attribution"] == method].sort_values(_KEYS[unit], ignore_index=True)

    def score(self, unit: Unit, method: str, score: str) -> NDArray[np.float32]:
        """Return a recorded score of each region or image."""
        return self.rows(unit, method)[score].to_numpy(np.float32)

    def recognised(self, unit: Unit, method: str) -> NDArray[np.uint8]:
        """Return 1 or 0 for each region or image, or `UNKNOWN` if its label is unknown."""
        values = self.rows(unit, method)["recognised"].to_numpy(np.float64)
        return np.where(np.isnan(values), UNKNOWN, np.nan_to_num(values)).astype(np.uint8)


def has_maps(tables: RunTables) -> bool:
    """Return whether a run has regions and the maps of its test."""
    return tables.rois is not None and tables.run.record.scored_maps("test").is_file()


def read_run_maps(tables: RunTables) -> RunMaps:
    """Read the maps of a run.

    Raises:
        NoExplorerError: If the file is damaged, was made with another checkpoint, or does not match the table.
    """
    path = tables.run.record.scored_maps("test")
    try:
        maps = read_maps(path)
    except ValueError as error:
        raise NoExplorerError(f"{error} Test the run again.") from error
    scored = {unit: table for unit in UNITS if (table := tables.localization(unit)) is not None}
    found = RunMaps(tables, maps, scored)
    if maps.checkpoint != tables.test.checkpoint:
        raise NoExplorerError(
            f"Expected the maps in '{path}' to be made with the checkpoint that was tested but they were not."
        )
    # the page matches maps and rows by position
    for method in found.methods("finding"):
        rows = found.rows("finding", method)
        if found.pairs != list(zip(rows["sample_id"], rows["finding"], strict=True)):
            raise NoExplorerError(
                f"Expected in '{path}' the regions of the localization table but found other regions."
            )
    return found


def check_shapes(runs: Sequence[RunMaps]) -> None:
    """Check that all runs have maps on the same patches of the same frame, because a page has one frame.

    Raises:
        NoExplorerError: If they differ, as those of students with different patches do.
    """
    shapes = {run.tables.run.name: _shape(run.maps) for run in runs}
    (first, expected), *others = shapes.items()
    for name, shape in others:
        if shape != expected:
            raise NoExplorerError(
                f"Expected all runs to have maps on the same patches of the same frame but {first} has {expected} and {name} has "
                f"{shape}."
            )


def _shape(maps: MapFile) -> str:
    """Return the patches and the frame of all maps in words."""
    grids = {f"{own.shape[1]} x {own.shape[2]} patches" for own in maps.maps.values()}
    return f"{', '.join(sorted(grids))} of {maps.frame[0]} x {maps.frame[1]} pixels"


def shared_units(runs: Sequence[RunMaps]) -> list[Unit]:
    """Return the units that all runs were scored in."""
    known = [set(run.scored) & set(run.maps.top_area) for run in runs]
    shared = set.intersection(*known)
    return [unit for unit in UNITS if unit in shared]


def shared_methods(runs: Sequence[RunMaps], unit: Unit) -> list[str]:
    """Return the attributions that all runs have in a unit, in the order of the first run."""
    shared = set.intersection(*(set(run.methods(unit)) for run in runs))
    return [name for name in runs[0].methods(unit) if name in shared]


def shared_scores(runs: Sequence[RunMaps], unit: Unit) -> tuple[str, ...]:
    """Return the scores that the page computes and that all runs have in a unit."""
    shared = set.intersection(*(set(run.scored[unit].columns) for run in runs))
    return tuple(score for score in SCORES if score in shared)
