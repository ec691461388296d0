"""Sentences about how far the report of a study can be trusted."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.statistics.collapse import MIN_PAIRS
from mmpkd.statistics.effects import MIN_SEEDS
from mmpkd.statistics.hypotheses import MIN_DIFFERING, Verdict
from mmpkd.study.analysis.comparison import Compared, Limit
from mmpkd.study.analysis.progress import SeedCount
from mmpkd.study.plan.declaration import allowed_since, declared_seeds
from mmpkd.study.plan.study_plan import StudyPlan

SINGLE_SEED = f"a single training run says nothing about the method; run at least {MIN_SEEDS} seeds"
_LIMITS: dict[Limit, str] = {
    "one_seed": f"No answer from one seed: {SINGLE_SEED}.",
    "two_seeds": f"No answer from two seeds: run at least {MIN_SEEDS}.",
    "few_localize": f"No answer: the runs of both arms localize in fewer than {MIN_PAIRS} seeds.",
}
NOT_ABSENT = "This does not show that there is none."
NOT_DECLARED = "The question was not declared before the first run, or was changed since: the result is exploratory."


def no_verdict(limit: Limit, count: SeedCount) -> str:
    """Return why no verdict is given."""
    if limit == "interim":
        return f"No verdict yet: {count.finished} of {count.planned} planned seeds are finished{_unfinished(count)}."
    return _LIMITS[limit]


def planned_seeds(count: SeedCount) -> str:
    """Return how many of the planned seeds an answer is based on."""
    return f"{count.finished} of {count.planned} planned seeds{_unfinished(count)}"


def _unfinished(count: SeedCount) -> str:
    parts = []
    if count.num_failed:
        parts.append(f"{count.num_failed} {'run' if count.num_failed == 1 else 'runs'} failed")
    if count.num_missing:
        parts.append(f"{count.num_missing} {'run is' if count.num_missing == 1 else 'runs are'} missing")
    return f" ({', '.join(parts)})" if parts else ""


def few_seeds(num_seeds: int) -> str:
    """Return a caveat for an answer from few seeds, or an empty text."""
    return f"With fewer than {MIN_SEEDS} seeds, this is only a hint." if num_seeds < MIN_SEEDS else ""


def few_differing(verdict: Verdict, comparisons: Sequence[Compared]) -> str:
    """Return a caveat for equivalence where few patients differ at all, as with rare hits, or an empty text."""
    fewest = min((found.overall.num_differing for found in comparisons), default=MIN_DIFFERING)
    if verdict != "equivalent" or fewest >= MIN_DIFFERING:
        return ""
    return (
        f"Only {fewest} patients have any difference: from fewer than {MIN_DIFFERING}, equivalence can be claimed falsely in up "
        "to 10 % of studies, instead of 5 %."
    )


def other_seeds(out: Path, seeds: Sequence[int]) -> str:
    """Return a caveat if the seeds of a report differ from those declared before the first run, or an empty text."""
    declared = declared_seeds(out)
    if declared is None or set(declared) == set(seeds):
        return ""
    return (
        f"Before the first run, seeds {_listed(declared)} were declared; this report covers seeds {_listed(seeds)}. Choosing "
        "seeds after seeing results leads to too many false claims."
    )


def late_allowance(plan: StudyPlan, out: Path) -> str:
    """Return a caveat if arms may differ in more than when the study was declared, or an empty text."""
    added = [f"{name} ({', '.join(aspects)})" for name, aspects in allowed_since(plan, out).items()]
    if not added:
        return ""
    return (
        f"`may_differ_in` was added after the study had been declared: {'; '.join(added)}. The declared questions are "
        "unchanged; the answer names what differs between arms."
    )


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
