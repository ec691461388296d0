"""The report of a study: a page, and files with every number and figure on it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.files.atomic import write_text
from mmpkd.study.analysis.answers import Conclusions, Unanswered
from mmpkd.study.analysis.conclusions import conclude
from mmpkd.study.analysis.progress import Progress
from mmpkd.study.analysis.run_tables import RunTables, read_run, tested_on
from mmpkd.study.execution.likeness import Likeness
from mmpkd.study.execution.run import FailedRun, Run
from mmpkd.study.plan.declaration import declared_seeds, is_as_declared
from mmpkd.study.plan.domains import domains, external_domain
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.caveats import NOT_DECLARED, late_allowance, other_seeds
from mmpkd.study.report.comparisons import Entry, entry, shown_comparisons, unanswered
from mmpkd.study.report.explorer.explorer import write_explorers
from mmpkd.study.report.files import file_links, write_files
from mmpkd.study.report.headline import headline
from mmpkd.study.report.page import Page, render
from mmpkd.study.report.provenance import circumstances, provenance, study_command
from mmpkd.study.report.sections.section import Section, section
from mmpkd.study.report.tracking import track_summary


def write_report(
    plan: StudyPlan, out: Path, seeds: Sequence[int], finished: Sequence[Run], failed: Sequence[FailedRun]
) -> tuple[str, Path]:
    """Write the folder `report`.

    `index.html` is the report, and `explore.html` shows every scored image with its maps (`explore_<name>.html` for a domain or
    another data set). `results.csv` has every score of every
    run, `roi.parquet` every region of interest, `arms.tex` the table of arms, and `figures` each figure as PNG and SVG. Equal
    runs give equal files. If the runs are tracked in W&B, the answer is logged there as well, but not the explorer.

    Args:
        plan: The study.
        out: Folder of the study.
        seeds: Seeds of the student arms.
        finished: Finished runs.
        failed: Runs that failed.

    Returns:
        The headline, and the path of the page.

    Raises:
        StudyError: If no run is finished, or if arms that are compared differ in what the study does not allow.
    """
    if not finished:
        raise StudyError(f"Expected a finished run in {out} but there is none; {len(failed)} failed.")
    Likeness(plan, finished).check()
    tables = [read_run(run) for run in finished]
    page = _page(plan, out, seeds, tables, failed)
    folder = out / "report"
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, tables, [own.arms for own in page.sections])
    write_text(folder / "index.html", render(page))
    track_summary(page, out, finished)
    return page.sentence, folder / "index.html"


def _page(
    plan: StudyPlan, out: Path, seeds: Sequence[int], tables: Sequence[RunTables], failed: Sequence[FailedRun]
) -> Page:
    """Return the content of the page, and write its figures and the explorer."""
    own = tested_on(tables, "")
    external = {other.name: tested_on(tables, other.name) for other in plan.external}
    broken = frozenset((run.run.arm.name, run.run.seed) for run in failed)
    # the seeds that were declared, not those of this call: nobody can choose seeds by their results
    conclusions = conclude(plan, own, Progress(declared_seeds(out) or tuple(seeds), plan.looks, broken))
    figures = out / "report" / "figures"
    as_declared = is_as_declared(plan, out)
    sections = _sections(plan, own, external, figures)
    explorers = write_explorers(plan, out / "report", own, external, as_declared)
    return Page(
        plan=plan,
        seeds=tuple(seeds),
        answer=_answer(conclusions, as_declared, is_synthetic=all(table.test.license == "synthetic" for table in own)),
        conclusions=conclusions,
        as_declared=as_declared,
        entries=_entries(plan, conclusions, external, figures),
        unanswered=tuple(unanswered(conclusions)),
        notes=tuple(note for note in (other_seeds(out, seeds), late_allowance(plan, out), *plan.notes) if note),
        sections=sections,
        monitors=tuple(sorted({table.monitor for table in own if table.monitor})),
        provenance=tuple(provenance(table, out) for table in tables),
        circumstances=circumstances(tables),
        command=study_command(plan, seeds, tables),
        failed=tuple(failed),
        # after all figures, since only a folder that exists is linked
        files=file_links(out / "report", any(table.rois is not None for table in tables)),
        explorers=explorers,
    )


def _answer(conclusions: Conclusions, as_declared: bool, is_synthetic: bool) -> tuple[str, ...]:
    """Return the lines of the answer; the first says at once what nobody may overlook."""
    first, *others = headline(conclusions)
    is_exploratory = not isinstance(conclusions.endpoint, Unanswered) and not as_declared
    marks = ["Exploratory: "] if is_exploratory else []
    marks += ["On phantoms: "] if is_synthetic else []
    return (f"{''.join(marks)}{first}", *others, *([NOT_DECLARED] if is_exploratory else []))


def _sections(
    plan: StudyPlan, own: Sequence[RunTables], external: Mapping[str, Sequence[RunTables]], figures: Path
) -> tuple[Section, ...]:
    """Return the section of each domain and each other data set, and draw their figures."""
    found = [section(plan, domain, own, figures) for domain in domains(plan)]
    found += [section(plan, external_domain(plan, other), external[other.name], figures) for other in plan.external]
    return tuple(shown for shown in found if shown is not None)


def _entries(
    plan: StudyPlan, conclusions: Conclusions, external: Mapping[str, Sequence[RunTables]], figures: Path
) -> tuple[Entry, ...]:
    """Return each comparison in the words of the page, and draw the figures."""
    shown = list(shown_comparisons(plan, conclusions, external))
    if shown:
        figures.mkdir(parents=True, exist_ok=True)
    return tuple(entry(own, figures) for own in shown)
