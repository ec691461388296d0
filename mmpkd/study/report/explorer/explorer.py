"""The explorer of a study, with one page per domain and per other data set."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.files.atomic import write_text
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.domains import Domain, domains, external_domain
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.explorer.contents import Title, check_images, contents
from mmpkd.study.report.explorer.contract import Declared
from mmpkd.study.report.explorer.images import NoExplorerError, read_images
from mmpkd.study.report.explorer.maps import RunMaps, check_shapes, has_maps, read_run_maps
from mmpkd.study.report.explorer.page import page_of
from mmpkd.study.report.explorer.scope import MAX_BYTES, largest_page

# why the comparison that a page opens with is exploratory
_NOT_DECLARED = "the comparison was not declared before the first run, or was changed since"
_ELSEWHERE = "the declaration is about the study's own test set"
logger = logging.getLogger("mmpkd")


@dataclass(frozen=True)
class Explorer:
    """An explorer, or why there is none.

    Attributes:
        domain: Name of the domain or of the other data set, "" for the test set of a study with a single domain.
        file: File name of the page in the folder of the report, "" if there is none.
        reason: Why there is no page, in a sentence, or "".
    """

    domain: str
    file: str = ""
    reason: str = ""


def write_explorers(
    plan: StudyPlan,
    folder: Path,
    tables: Sequence[RunTables],
    external: Mapping[str, Sequence[RunTables]],
    is_as_declared: bool,
) -> tuple[Explorer, ...]:
    """Write `explore.html`, or `explore_<domain>.html` for each domain of a factorial study, and `explore_<external>.html`.

    A page holds test images, so it stays on this machine and is never uploaded.

    Args:
        plan: The study.
        folder: Folder of the report.
        tables: Finished runs on the study's own test sets.
        external: Finished runs, by the other data set that they were tested on.
        is_as_declared: Whether the questions were declared before the first run.
    """
    for path in folder.glob("explore*.html"):
        path.unlink()  # a page of an earlier report shows other runs
    exploratory = "" if is_as_declared else _NOT_DECLARED
    found = [_explorer(plan, folder, domain, tables, exploratory) for domain in domains(plan)]
    found += [
        _explorer(plan, folder, external_domain(plan, other), external[other.name], _ELSEWHERE)
        for other in plan.external
    ]
    return tuple(own for own in found if own is not None)


def _explorer(
    plan: StudyPlan, folder: Path, domain: Domain, tables: Sequence[RunTables], exploratory: str
) -> Explorer | None:
    """Write the page of runs on one test set; None if there are no regions."""
    students = [table for table in tables if table.run.arm in domain.students and table.rois is not None]
    if not students:
        return None
    path = folder / (f"explore_{domain.name}.html" if domain.name else "explore.html")
    try:
        write_text(path, _page(plan, domain, students, exploratory))
    except NoExplorerError as error:
        logger.warning("no explorer%s: %s", f" of {domain.name}" if domain.name else "", error)
        return Explorer(domain.name, reason=str(error))
    return Explorer(domain.name, path.name)


def _page(plan: StudyPlan, domain: Domain, tables: Sequence[RunTables], exploratory: str) -> str:
    """Return the page of a domain with all of its runs or, if that is too large, with the declared comparison.

    Raises:
        NoExplorerError: If maps or images are missing or do not match.
    """
    without = [table.run.name for table in tables if not has_maps(table)]
    if len(without) == len(tables):
        raise NoExplorerError(
            "The runs kept no maps: they were tested with an earlier version, or with `keep_maps: false` in the "
            "LocalizationMonitor."
        )
    runs = [read_run_maps(table) for table in tables if has_maps(table)]
    check_shapes(runs)
    logger.info("reading the test images for the explorer")
    images = read_images(runs[0].tables.run, runs[0].maps.frame)
    check_images(runs, images)
    declared = _declared(plan, domain, runs, exploratory)
    name = f"{plan.name}, {domain.name}" if domain.name else plan.name
    title = Title(name, plan.question, runs[0].tables.test.license, declared)
    missing = [f"Runs without maps: {', '.join(without)}."] if without else []
    return largest_page(lambda scope: page_of(contents(title, scope, images)), runs, declared, missing, MAX_BYTES)


def _declared(plan: StudyPlan, domain: Domain, runs: Sequence[RunMaps], exploratory: str) -> Declared:
    """Return the comparison to open with: the primary one, or the first one of the domain."""
    arms = list(dict.fromkeys(run.tables.run.arm.name for run in runs))
    reference = domain.reference if domain.reference in arms else arms[0]
    others = [arm for arm in arms if arm != reference] or [reference]
    arm = plan.primary.arm if plan.primary is not None and plan.primary.arm in others else others[0]
    measure = plan.measure
    return Declared(arm, reference, measure.attribution, measure.score, measure.unit, exploratory)
