"""Sentences that say how far the report of a study can be trusted."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.statistics.collapse import MIN_PAIRS
from mmpkd.statistics.effects import MIN_SEEDS
from mmpkd.study.analysis.comparison import Limit
from mmpkd.study.analysis.progress import SeedCount
from mmpkd.study.plan.declaration import declared_seeds

SINGLE_SEED = f"one training run is no evidence about the method; run at least {MIN_SEEDS} seeds"
_LIMITS: dict[Limit, str] = {
    "one_seed": f"No answer: one seed; {SINGLE_SEED}.",
    "two_seeds": f"No answer: two seeds; run at least {MIN_SEEDS}.",
    "few_localize": f"No answer: fewer than {MIN_PAIRS} seeds whose runs all localize.",
}
NOT_ABSENT = "Not shown is not the same as absent."
NOT_DECLARED = "Not declared before the first run, or changed since, and so exploratory."


def no_verdict(limit: Limit, count: SeedCount) -> str:
    """Return why nothing is claimed."""
    if limit == "interim":
        return f"Interim, {count.finished} of {count.planned} planned seeds, no verdict{_unfinished(count)}."
    return _LIMITS[limit]


def planned_seeds(count: SeedCount) -> str:
    """Return how many of the planned seeds an answer is made of."""
    return f"{count.finished} of {count.planned} planned seeds{_unfinished(count)}"


def _unfinished(count: SeedCount) -> str:
    parts = []
    if count.num_failed:
        parts.append(f"{count.num_failed} {'run' if count.num_failed == 1 else 'runs'} failed")
    if count.num_missing:
        parts.append(f"{count.num_missing} {'run is' if count.num_missing == 1 else 'runs are'} missing")
    return f" ({', '.join(parts)})" if parts else ""


def few_seeds(num_seeds: int) -> str:
    """Return what to add to an answer from a few seeds, or an empty text."""
    return f"Fewer than {MIN_SEEDS} seeds: read it as a hint." if num_seeds < MIN_SEEDS else ""


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
