"""Answers to the questions of a study, corrected for their number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mmpkd.statistics.hypotheses import gated, holm
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.contrast import Contrasted
from mmpkd.study.analysis.progress import Progress
from mmpkd.study.plan.questions import Comparison
from mmpkd.study.plan.study_plan import StudyPlan


@dataclass(frozen=True)
class Unanswered:
    """Why a question has no answer.

    Attributes:
        why: An arm has no finished run (`unfinished`), the test split has no region (`no_rois`), a contrast has only one seed
            (`one_seed`), or the runs cannot be compared (`not_comparable`).
        arms: Arms without a finished run.
        detail: Why the runs cannot be compared.
    """

    why: Literal["unfinished", "no_rois", "one_seed", "not_comparable"]
    arms: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Tested:
    """A member of the declared family, with its result.

    Attributes:
        declared: The declared comparison.
        found: Result of the comparison, or why there is none.
        adjusted: p-value after Holm's correction, and behind the gate if the study has one; NaN without a p-value.
        adjusted_equivalence: The same for equivalence, corrected among the members with a margin.
    """

    declared: Comparison
    found: Compared | Unanswered
    adjusted: float
    adjusted_equivalence: float


@dataclass(frozen=True)
class Conclusions:
    """Everything that a study computes for its questions.

    Attributes:
        endpoint: Result of the primary comparison or of the contrast of a factorial design, or why there is none.
        family: The declared family, corrected for the number of its members.
        exploratory: Comparisons that were not declared: those that a contrast is computed from.
        progress: Planned seeds and failed runs.
    """

    endpoint: Compared | Contrasted | Unanswered
    family: tuple[Tested, ...]
    exploratory: tuple[Compared, ...]
    progress: Progress

    @property
    def primary(self) -> Compared | None:
        """The primary comparison, or None if the endpoint is a contrast or has no answer."""
        return self.endpoint if isinstance(self.endpoint, Compared) else None

    @property
    def contrast(self) -> Contrasted | None:
        """The contrast of a factorial design, or None."""
        return self.endpoint if isinstance(self.endpoint, Contrasted) else None


def corrected(
    plan: StudyPlan,
    endpoint: Compared | Contrasted | Unanswered,
    tried: Sequence[Compared | Unanswered],
    behind: tuple[Compared, ...],
    progress: Progress,
) -> Conclusions:
    """Return the conclusions of a study, corrected for the number of its questions.

    With a gate, a member of the family can be claimed only if a difference in the endpoint is claimed. Without a gate, Holm's
    correction covers the endpoint and the family.

    Args:
        plan: The study.
        endpoint: Result of the endpoint.
        tried: Result of each member of the family.
        behind: Comparisons that a contrast is computed from.
        progress: Planned seeds and failed runs.
    """
    family = [_p_value(found) for found in tried]
    # a single question needs no correction
    if not tried:
        return Conclusions(endpoint, (), behind, progress)
    if plan.gate:
        adjusted = gated(_is_difference(endpoint), family)
    else:
        first, *rest = holm([_p_value(endpoint), *family])
        adjusted = np.asarray(rest)
        if not isinstance(endpoint, Unanswered):
            endpoint = replace(endpoint, adjusted=float(first))
    equivalence = _equivalence(plan, endpoint, tried)
    members = zip(plan.family, tried, adjusted.tolist(), equivalence, strict=True)
    return Conclusions(endpoint, tuple(_tested(*member) for member in members), behind, progress)


def _tested(declared: Comparison, found: Compared | Unanswered, adjusted: float, equivalence: float) -> Tested:
    if isinstance(found, Compared):
        found = replace(found, adjusted=adjusted, adjusted_equivalence=equivalence)
    return Tested(declared, found, adjusted, equivalence)


def _equivalence(
    plan: StudyPlan, endpoint: Compared | Contrasted | Unanswered, tried: Sequence[Compared | Unanswered]
) -> list[float]:
    """Return the corrected p-values of equivalence; the members with a margin form a family of their own."""
    has_margin = np.array([own.margin is not None for own in plan.family], dtype=np.bool_)
    p_values = np.array([found.equivalence if isinstance(found, Compared) else math.nan for found in tried])
    found = np.full(len(tried), np.nan)
    if plan.gate:
        found[has_margin] = gated(_is_difference(endpoint), p_values[has_margin].tolist())
    else:
        found[has_margin] = holm(p_values[has_margin].tolist())
    return found.tolist()


def _is_difference(found: Compared | Contrasted | Unanswered) -> bool:
    """Return whether a difference is claimed; equivalence is another kind of answer and does not open the gate."""
    return not isinstance(found, Unanswered) and found.verdict in ("higher", "lower")


def _p_value(found: Compared | Contrasted | Unanswered) -> float:
    return math.nan if isinstance(found, Unanswered) else found.p_value
