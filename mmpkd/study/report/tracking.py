"""The answer of a study as a W&B run of its own, in the group of its other runs."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpkd.statistics.planning import minimum_detectable_effect
from mmpkd.study.analysis.answers import Conclusions
from mmpkd.study.execution.run import Run
from mmpkd.study.report.page import Page
from mmpkd.study.report.sections.tables import Grid, Row
from mmpkd.tracking.wandb import finish_wandb, wandb_logger

FOLDER = ".summary"
log = logging.getLogger("mmpkd")


def track_summary(page: Page, out: Path, finished: Sequence[Run]) -> None:
    """Log estimate, interval and p-value, the table of arms, and the figures, but no image and no identifier of a sample.

    The W&B run is online or offline like the runs of the study, and is resumed when the report is written again. Nothing is
    logged if the runs are not tracked.

    Args:
        page: The report.
        out: Folder of the study, with the report.
        finished: Finished runs.
    """
    try:
        settings = _settings(finished)
    except ValueError as error:
        # the report is written, and another run of it can log the answer
        log.warning("The answer is not logged to W&B: %s", error)
        return
    logger = wandb_logger(
        out / FOLDER,
        settings.get("wandb", "disabled"),
        settings.get("project", "mmpkd"),
        f"{page.plan.name} answer",
        group=page.plan.name,
        job_type="report",
        tags=settings.get("tags") or [],
    )
    if logger is None:
        return
    import wandb

    tables = {f"arms/{own.name or 'all'}": wandb.Table(*_table(own.arms)) for own in page.sections}
    paths = sorted((out / "report" / "figures").glob("*.png"))
    logger.experiment.log({**tables, **{f"figures/{path.stem}": wandb.Image(str(path)) for path in paths}})
    logger.experiment.summary.update({"answer": page.sentence, **_endpoint(page.conclusions)})
    finish_wandb(0)


def _settings(finished: Sequence[Run]) -> dict[str, Any]:
    """Return the tracking settings of the runs.

    Raises:
        ValueError: If the configuration of a run is damaged.
    """
    # all runs of a study are tracked alike, so one of them is enough
    record = next((run.record for run in finished if run.record.config.is_file()), None)
    if record is None:
        return {}
    settings = record.settings.get("run")
    if not isinstance(settings, dict):
        raise ValueError(f"Expected `run:` in '{record.config}' but it has none. Restore the file.")
    return settings


def _endpoint(conclusions: Conclusions) -> dict[str, float | str]:
    found = conclusions.contrast or conclusions.primary
    if found is None:
        return {}
    effect = found.effect
    interval = effect.interval()
    return {
        "endpoint/estimate": effect.estimate,
        "endpoint/low": interval.low,
        "endpoint/high": interval.high,
        "endpoint/p_value": found.p_value,
        "endpoint/detectable": minimum_detectable_effect(effect),
        "endpoint/verdict": found.verdict,
        "endpoint/num_seeds": found.num_seeds,
        "endpoint/num_planned": found.count.planned,
    }


def _table(grid: Grid) -> tuple[list[str], list[list[str | float]]]:
    """Return the names of the columns, and rows of means over seeds."""
    return ["arm", *grid.columns], [_means(row) for row in grid.rows]


def _means(row: Row) -> list[str | float]:
    return [row.name, *(cell.mean for cell in row.cells)]
