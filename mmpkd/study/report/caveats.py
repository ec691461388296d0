"""Sentences that say how far the report of a study can be trusted."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.statistics.effects import MIN_SEEDS
from mmpkd.study.plan.declaration import declared_seeds

SINGLE_SEED = f"one training run is no evidence about the method; run at least {MIN_SEEDS} seeds"
NOT_ABSENT = " Not shown is not the same as absent."
NOT_DECLARED = "Not declared before the first run, or changed since, and so exploratory."


def few_seeds(num_seeds: int) -> str:
    """Return what to add to an answer from a few seeds, or an empty text."""
    return f" Fewer than {MIN_SEEDS} seeds: read it as a hint." if num_seeds < MIN_SEEDS else ""


def other_seeds(out: Path, seeds: Sequence[int]) -> str:
    """Return what to say if a report is of other seeds than were declared before the first run, or an empty text."""
    declared = declared_seeds(out)
    if declared is None or set(declared) == set(seeds):
        return ""
    return (
        f"Before the first run, seeds {_listed(declared)} were declared; this report is of seeds {_listed(seeds)}. Seeds that "
        "are chosen when results are known show a difference too often."
    )


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
