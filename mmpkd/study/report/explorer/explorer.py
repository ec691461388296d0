"""The explorer of a study, with one page per domain."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.files.atomic import write_text
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.domains import Domain, domains
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.explorer.contents import Title, check_images, contents
from mmpkd.study.report.explorer.contract import Declared
from mmpkd.study.report.explorer.images import NoExplorerError, read_images
from mmpkd.study.report.explorer.maps import RunMaps, has_maps, read_run_maps
from mmpkd.study.report.explorer.page import page_of
from mmpkd.study.report.explorer.scope import MAX_BYTES, largest_page

logger = logging.getLogger("mmpkd")


@dataclass(frozen=True)
class Explorer:
    """An explorer, or why there is none.

    Attributes:
        domain: Name of the domain, "" if the study has only one.
        file: File name of the page in the folder of the report, "" if there is none.
        reason: Why there is no page, in a sentence, or "".
    """

    domain: str
    file: str = ""
    reason: str = ""


def write_explorers(
    plan: StudyPlan, folder: Path, tables: Sequence[RunTables], is_as_declared: bool
) -> tuple[Explorer, ...]:
    """Write `explore.html`, or `explore_<domain>.html` for each domain of a factorial study.

    A page holds test images, so it stays on this machine and is never uploaded.

    Args:
        plan: The study.
        folder: Folder of the report.
        tables: Finished runs on the study's own test sets.
        is_as_declared: Whether the questions were declared before the first run.
    """
    found = []
    for domain in domains(plan):
        path = folder / (f"explore_{domain.name}.html" if domain.name else "explore.html")
        path.unlink(missing_ok=True)  # a page of an earlier report shows other runs
        students = [table for table in tables if table.run.arm in domain.students and table.rois is not None]
        if not students:
            continue
        try:
            write_text(path, _page(plan, domain, students, is_as_declared))
            found.append(Explorer(domain.name, path.name))
        except NoExplorerError as error:
            logger.warning("no explorer%s: %s", f" of {domain.name}" if domain.name else "", error)
            found.append(Explorer(domain.name, reason=str(error)))
    return tuple(found)


def _page(plan: StudyPlan, domain: Domain, tables: Sequence[RunTables], is_as_declared: bool) -> str:
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
    logger.info("reading the test images for the explorer")
    images = read_images(runs[0].tables.run.record.config, runs[0].maps.frame)
    check_images(runs, images)
    declared = _declared(plan, domain, runs, is_as_declared)
    name = f"{plan.name}, {domain.name}" if domain.name else plan.name
    title = Title(name, plan.question, runs[0].tables.test.license, declared)
    missing = [f"Runs without maps: {', '.join(without)}."] if without else []
    return largest_page(lambda scope: page_of(contents(title, scope, images)), runs, declared, missing, MAX_BYTES)


def _declared(plan: StudyPlan, domain: Domain, runs: Sequence[RunMaps], is_as_declared: bool) -> Declared:
    """Return the comparison to open with: the primary one, or the first one of the domain."""
    arms = list(dict.fromkeys(run.tables.run.arm.name for run in runs))
    reference = domain.reference if domain.reference in arms else arms[0]
    others = [arm for arm in arms if arm != reference] or [reference]
    arm = plan.primary.arm if plan.primary is not None and plan.primary.arm in others else others[0]
    measure = plan.measure
    return Declared(arm, reference, measure.attribution, measure.score, measure.unit, is_as_declared)
