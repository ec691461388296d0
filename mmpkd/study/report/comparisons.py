"""The comparisons of a report: their headings, figures and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.recognition import Matched
from mmpkd.study.analysis.answers import Conclusions, Tested, Unanswered
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.conclusions import compared_on
from mmpkd.study.analysis.difference import Difference
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.questions import Comparison
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.answer import answer_lines
from mmpkd.study.report.figures import forest_plot, save
from mmpkd.study.report.headline import no_answer
from mmpkd.study.report.names import AVERAGE_NAMES, BEYOND_NAMES, INSTRUMENT, INTERVAL_NAMES, measure_name

Kind = Literal["primary", "family", "exploratory"]
_KINDS: dict[Kind, str] = {"primary": "Primary endpoint", "family": "Declared family", "exploratory": "Exploratory"}


@dataclass(frozen=True)
class Shown:
    """A comparison to show in a report.

    Attributes:
        found: Result of the comparison.
        kind: Its role in the study.
        test_set: Name of the other data set that it was made on, "" for the study's own.
        member: Its result within the family, or None if it is not a member.
    """

    found: Compared
    kind: Kind
    test_set: str = ""
    member: Tested | None = None

    @property
    def figure_name(self) -> str:
        """Name of the figure, without a suffix."""
        declared = self.found.declared
        names = (self.test_set, declared.arm, declared.reference, declared.attribution, declared.score)
        return "_".join(name for name in ("forest", *names) if name)


@dataclass(frozen=True)
class AverageRow:
    """A difference by one average.

    Attributes:
        title: The average in words.
        difference: The difference.
    """

    title: str
    difference: Difference


@dataclass(frozen=True)
class MatchedRow:
    """A difference at equal recognition.

    Attributes:
        title: The quantity that is held equal.
        note: Verdict in words, or "".
        effect: The difference.
        num: Number of pairs of regions, over all seeds.
    """

    title: str
    note: str
    effect: Effect
    num: int


@dataclass(frozen=True)
class Entry:
    """A comparison in the words of the page.

    Attributes:
        found: Result of the comparison.
        heading: Heading of the section.
        is_declared: Whether the study declares it, as primary endpoint or in the family.
        answer: Its answer in several lines if it is a member of the family; the endpoint is answered at the top of the page.
        measure: The measure in words.
        interval: How the interval was computed, in words.
        forest: The figure, as an SVG element; empty if there is no estimate.
        averages: The difference by each average, starting with the declared one.
        matched: The difference at equal recognition.
        member: Its result within the family, or None if it is not a member.
    """

    found: Compared
    heading: str
    is_declared: bool
    answer: tuple[str, ...]
    measure: str
    interval: str
    forest: str
    averages: tuple[AverageRow, ...]
    matched: tuple[MatchedRow, ...]
    member: Tested | None


@dataclass(frozen=True)
class UnansweredRow:
    """A comparison of the family without an answer.

    Attributes:
        declared: The comparison.
        reason: Why there is no answer, in words.
    """

    declared: Comparison
    reason: str


def shown_comparisons(
    plan: StudyPlan, conclusions: Conclusions, external: Mapping[str, Sequence[RunTables]]
) -> Iterator[Shown]:
    """Yield the comparisons of a report from top to bottom.

    Args:
        plan: The study.
        conclusions: Conclusions of the study.
        external: Finished runs, by the other data set that they were tested on.
    """
    if conclusions.primary is not None:
        yield Shown(conclusions.primary, "primary")
    for member in conclusions.family:
        if isinstance(member.found, Compared):
            yield Shown(member.found, "family", member=member)
    for found in conclusions.exploratory:
        yield Shown(found, "exploratory")
    for name, tables in external.items():
        elsewhere = compared_on(plan, tables, conclusions.progress)
        if elsewhere is not None:
            # the declaration is about the study's own test set
            yield Shown(elsewhere, "exploratory", test_set=name)


def entry(shown: Shown, figures: Path) -> Entry:
    """Put a comparison into the words of the page, and draw its figure."""
    found = shown.found
    label = f"{found.declared.arm} minus {found.declared.reference}"
    where = f", on {shown.test_set}" if shown.test_set else ""
    return Entry(
        found=found,
        heading=f"{_KINDS[shown.kind]}{where}: {label}",
        is_declared=shown.kind != "exploratory",
        answer=answer_lines(found) if shown.kind == "family" else (),
        measure=measure_name(found.declared.measure),
        interval=INTERVAL_NAMES[found.overall.interval.method],
        forest=_forest(shown, label, figures) if found.has_estimate else "",
        averages=tuple(average_row(own) for own in (found.overall, *found.described)),
        matched=() if found.matched is None else (matched_row(found.matched),),
        member=shown.member,
    )


def _forest(shown: Shown, label: str, figures: Path) -> str:
    figure = forest_plot([shown.found.overall, *shown.found.by_finding], label)
    return save(figure, figures / shown.figure_name)


def unanswered(conclusions: Conclusions) -> list[UnansweredRow]:
    """Return the comparisons of the family that have no answer."""
    return [
        UnansweredRow(own.declared, no_answer(own.found))
        for own in conclusions.family
        if isinstance(own.found, Unanswered)
    ]


def average_row(found: Difference) -> AverageRow:
    """Put a difference by one average into the words of the page."""
    return AverageRow(AVERAGE_NAMES[found.average], found)


def matched_row(matched: Matched) -> MatchedRow:
    """Put a difference at equal recognition into the words of the page."""
    return MatchedRow(INSTRUMENT, BEYOND_NAMES[matched.verdict], matched.effect, matched.num_rois)
