"""Faithfulness: does the prediction follow the patches that a map calls relevant?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmpkd.attribution import RandomMap
from mmpkd.records.tables import read_table
from mmpkd.statistics.arrays import Floats, as_codes
from mmpkd.statistics.estimands import Regions
from mmpkd.study.analysis.difference import Difference, difference
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.errors import StudyError

SCORES = ("deletion", "insertion")
_KEY = ["sample_id", "patient_id", "finding"]


@dataclass(frozen=True)
class FaithfulnessRow:
    """The faithfulness of an attribution in an arm.

    Attributes:
        attribution: Name of the attribution.
        arm: Name of the arm.
        num_seeds: Runs whose faithfulness was scored.
        num_images: Number of (image, finding) pairs in a run.
        means: Mean areas under the deletion and the insertion curve.
        beyond_random: Differences from a random map on the same images; empty for the random map, or if there is none.
    """

    attribution: str
    arm: str
    num_seeds: int
    num_images: int
    means: tuple[float, ...]
    beyond_random: tuple[Difference, ...]


def faithfulness(tables: Sequence[RunTables], arms: Sequence[str]) -> Iterator[FaithfulnessRow]:
    """Yield the faithfulness of each attribution in each arm; nothing for an arm whose runs did not score it.

    Args:
        tables: Runs of students.
        arms: Names of their arms, in order.

    Raises:
        StudyError: If a table is damaged, or was made with a checkpoint other than the tested one.
    """
    for arm in arms:
        own = [table for table in tables if table.run.arm.name == arm and table.run.record.faithfulness.is_file()]
        frames = [_read(table).pivot_table(list(SCORES), _KEY, "attribution") for table in own]
        if frames:
            yield from _rows(arm, frames)


def _rows(arm: str, frames: Sequence[pd.DataFrame]) -> Iterator[FaithfulnessRow]:
    """Yield the rows of an arm.

    Args:
        arm: Name of the arm.
        frames: One table per seed, with a row per (image, finding) pair and columns by score and attribution.
    """
    index = frames[0].index
    # the random map last
    names = sorted(
        set(frames[0].columns.get_level_values("attribution")), key=lambda name: (name == RandomMap.name, name)
    )
    codes = [as_codes(index.get_level_values(name).tolist()) for name in ("patient_id", "finding")]
    regions = Regions(*codes)
    random = _by_seed(frames, RandomMap.name) if RandomMap.name in names else None
    for name in names:
        values = _by_seed(frames, name)
        beyond: list[Difference] = []
        if random is not None and name != RandomMap.name:
            beyond = [
                difference(name, own - other, regions, "patients") for own, other in zip(values, random, strict=True)
            ]
        means = tuple(float(np.nanmean(own)) for own in values)
        yield FaithfulnessRow(name, arm, len(frames), len(index), means, tuple(beyond))


def _by_seed(frames: Sequence[pd.DataFrame], name: str) -> list[Floats]:
    """Return each score (S, N) of an attribution from S tables, for the pairs of the first table."""
    index = frames[0].index
    aligned = [frame.reindex(index).xs(name, axis=1, level="attribution") for frame in frames]
    by_seed = np.stack([frame[list(SCORES)].to_numpy(dtype=np.float64) for frame in aligned])  # (S, N, 2)
    return list(np.moveaxis(by_seed, -1, 0))


def _read(table: RunTables) -> pd.DataFrame:
    path = table.run.record.faithfulness
    try:
        found = read_table(path)
    except ValueError as error:
        raise StudyError(str(error)) from error
    if found.checkpoint != table.test.checkpoint:
        raise StudyError(
            f"Expected {path} to be made with the tested checkpoint but it was made with another one. Delete "
            f"{table.run.folder} and rerun."
        )
    return found.frame
