"""What a study's questions gave, and the correction for their number."""

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
        why: An arm has no finished run (`unfinished`), the test split has no region (`no_rois`), a contrast has one seed only
            (`one_seed`), or the runs do not fit together (`not_comparable`).
        arms: The arms without a finished run.
        detail: What does not fit.
    """

    why: Literal["unfinished", "no_rois", "one_seed", "not_comparable"]
    arms: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Tested:
    """A declared comparison of the family.

    Attributes:
        declared: The comparison.
        found: What it gave, or why it gave nothing.
        adjusted: p-value after Holm's correction, behind the gate if there is one; NaN where there is none.
        adjusted_equivalence: The same for equivalence, among those with a margin.
    """

    declared: Comparison
    found: Compared | Unanswered
    adjusted: float
    adjusted_equivalence: float


@dataclass(frozen=True)
class Conclusions:
    """Everything that a study computes for its questions.

    Attributes:
        endpoint: What the primary comparison gave, or the contrast of a factorial design, or why there is no answer.
        family: The family, corrected for the number of its members.
        exploratory: Comparisons that nobody declared: those behind a contrast.
        progress: The planned seeds.
    """

    endpoint: Compared | Contrasted | Unanswered
    family: tuple[Tested, ...]
    exploratory: tuple[Compared, ...]
    progress: Progress

    @property
    def primary(self) -> Compared | None:
        """The primary comparison, or None if it is a contrast or there is no answer."""
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
    """Return what a study concludes: its questions after correction for their number.

    With a gate, members of the family can be claimed only if the difference of the endpoint is; without one, Holm's correction is
    over the endpoint and the family.

    Args:
        plan: The study.
        endpoint: What the endpoint gave.
        tried: What each member of the family gave.
        behind: Comparisons behind a contrast.
        progress: The planned seeds.
    """
    family = [_p_value(found) for found in tried]
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
        found = replace(found, adjusted=adjusted)
    return Tested(declared, found, adjusted, equivalence)


def _equivalence(
    plan: StudyPlan, endpoint: Compared | Contrasted | Unanswered, tried: Sequence[Compared | Unanswered]
) -> list[float]:
    """Return the corrected p-values of equivalence; it is a family of its own, of the members with a margin."""
    has_margin = np.array([own.margin is not None for own in plan.family], dtype=np.bool_)
    p_values = np.array([found.equivalence if isinstance(found, Compared) else math.nan for found in tried])
    found = np.full(len(tried), np.nan)
    if plan.gate:
        found[has_margin] = gated(_is_difference(endpoint), p_values[has_margin].tolist())
    else:
        found[has_margin] = holm(p_values[has_margin].tolist())
    return found.tolist()


def _is_difference(found: Compared | Contrasted | Unanswered) -> bool:
    """Return whether a difference is claimed: equivalence is another kind of answer, and opens no gate."""
    return not isinstance(found, Unanswered) and found.verdict in ("higher", "lower")


def _p_value(found: Compared | Contrasted | Unanswered) -> float:
    return math.nan if isinstance(found, Unanswered) else found.p_value
