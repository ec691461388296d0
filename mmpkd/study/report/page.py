"""The page of a report: one HTML file that needs no network."""

import math
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import jinja2

from mmpkd.statistics.planning import minimum_detectable_effect
from mmpkd.study.analysis.answers import Conclusions
from mmpkd.study.execution.run import FailedRun
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.caveats import NOT_DECLARED, SINGLE_SEED
from mmpkd.study.report.comparisons import Entry, UnansweredRow
from mmpkd.study.report.explorer.explorer import Explorer
from mmpkd.study.report.figures import with_own_ids
from mmpkd.study.report.files import FileLink
from mmpkd.study.report.names import AVERAGE_NAMES, measure_name
from mmpkd.study.report.provenance import Circumstances, Provenance
from mmpkd.study.report.sections.section import Section


@dataclass(frozen=True)
class Page:
    """The content of a report's page.

    Attributes:
        plan: The study.
        seeds: Seeds of the student arms.
        answer: The answer in several lines, the claim first.
        conclusions: Conclusions of the study.
        as_declared: Whether the questions are the ones declared before the first run.
        entries: Comparisons with an answer.
        unanswered: Comparisons of the family without an answer.
        notes: Notes at the top.
        sections: Tables by domain and test set.
        monitors: Validation scores that chose the checkpoints.
        provenance: What the runs were made from.
        circumstances: When and on which hardware the runs were made.
        command: Command that makes the runs.
        failed: Runs that failed.
        files: Files beside the page.
        explorers: Explorers by domain and other data set, or why there are none.
    """

    plan: StudyPlan
    seeds: tuple[int, ...]
    answer: tuple[str, ...]
    conclusions: Conclusions
    as_declared: bool
    entries: tuple[Entry, ...]
    unanswered: tuple[UnansweredRow, ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    monitors: tuple[str, ...]
    provenance: tuple[Provenance, ...]
    circumstances: Circumstances
    command: str
    failed: tuple[FailedRun, ...]
    files: tuple[FileLink, ...]
    explorers: tuple[Explorer, ...]

    @property
    def num_patient_images(self) -> int:
        """How many images of patients under a data use agreement the page shows."""
        return sum(len(own.gallery) for own in self.sections if own.is_credentialed)

    @property
    def sentence(self) -> str:
        """The answer as one paragraph."""
        return " ".join(self.answer)


def render(page: Page) -> str:
    """Return the page as HTML."""
    template = _environment().get_template("page.html.jinja")
    return template.render(
        page=page,
        plan=page.plan,
        external=[own.name for own in page.plan.external],
        measure=measure_name(page.plan.measure),
        average=AVERAGE_NAMES[page.plan.endpoint.average],
        not_declared=NOT_DECLARED,
        single_seed=SINGLE_SEED,
        minimum_detectable_effect=minimum_detectable_effect,
        version=version("mmpkd"),
    )


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a misspelt name is an error and not a gap
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.filters["number"] = lambda value: _number(value, "")
    environment.filters["signed"] = lambda value: _number(value, "+")
    environment.filters["p"] = _p_value
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    environment.filters["with_own_ids"] = with_own_ids
    return environment


def _number(value: float | None, sign: str) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:{sign}.3f}"


def _p_value(value: float) -> str:
    if math.isnan(value):
        return "n/a"
    return "< .001" if value < 0.001 else f"{value:.3f}"
