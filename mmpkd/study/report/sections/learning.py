"""Learning curves: the validation score that chose the checkpoint, and the training loss, by epoch and seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.report.figures import ARM_COLORS, WIDTH, plain_axes, save
from mmpkd.study.report.sections.tables import Cell
from mmpkd.tracking.metrics_file import LoggedValue, read_metrics

LOSS = "train/loss"


@dataclass(frozen=True)
class Curve:
    """The learning curves of a run.

    Attributes:
        arm: Arm of the run.
        seed: Seed of the run.
        monitor: Validation score that chose the checkpoint, by epoch from 1.
        loss: Mean training loss by epoch.
    """

    arm: str
    seed: int
    monitor: "pd.Series[float]"
    loss: "pd.Series[float]"

    @property
    def best_epoch(self) -> int:
        """The epoch with the best score; the first one if there are ties."""
        return int(self.monitor.index[int(self.monitor.argmax())])


@dataclass(frozen=True)
class LearningRow:
    """Summary of how the runs of an arm learned.

    Attributes:
        arm: Name of the arm.
        num_seeds: Number of runs.
        epochs: Number of epochs of the longest run.
        best_epochs: Earliest and latest best epoch among the runs.
        best: Best score of each run, over seeds.
        last: Score of each run after its last epoch, over seeds.
    """

    arm: str
    num_seeds: int
    epochs: int
    best_epochs: tuple[int, int]
    best: Cell
    last: Cell


@dataclass(frozen=True)
class LearningPart:
    """The part of a report about learning.

    Attributes:
        monitors: Validation scores that chose checkpoints.
        rows: The arms.
        figure: The curves, as an SVG element.
    """

    monitors: tuple[str, ...]
    rows: tuple[LearningRow, ...]
    figure: str


def learning_part(tables: Sequence[RunTables], arms: Sequence[str], figures: Path, prefix: str) -> LearningPart | None:
    """Return how the runs of arms learned, and write the figure; None if no run kept its values.

    Args:
        tables: Runs, of students and teachers.
        arms: Names of the arms to show, in order.
        figures: Folder of the figures.
        prefix: Domain in the name of the figure, or "".
    """
    by_arm = {arm: curves for arm in arms if (curves := list(_curves(tables, arm)))}
    if not by_arm:
        return None
    monitors = sorted({table.monitor for table in tables if table.run.arm.name in by_arm and table.monitor})
    figure = save(_figure(by_arm, monitors), figures / f"{prefix}learning")
    return LearningPart(tuple(monitors), tuple(_row(arm, curves) for arm, curves in by_arm.items()), figure)


def _curves(tables: Sequence[RunTables], arm: str) -> Iterator[Curve]:
    """Yield the curves of the runs of an arm that kept their values."""
    for table in tables:
        path = table.run.trained_record.metrics
        if table.run.arm.name != arm or table.monitor is None or not path.is_file():
            continue
        values = pd.DataFrame(read_metrics(path), columns=LoggedValue._fields)
        # rows without an epoch come from the test or from a check before the training
        values = values[values["epoch"].notna()]
        # Lightning counts epochs from 0, readers from 1
        epochs = values["epoch"].astype(int) + 1
        monitor, loss = (
            values[values["name"] == name].groupby(epochs)["value"].mean() for name in (table.monitor, LOSS)
        )
        if not monitor.dropna().empty:
            yield Curve(table.run.arm.name, table.run.seed, monitor.dropna(), loss)


def _row(arm: str, curves: Sequence[Curve]) -> LearningRow:
    best = [curve.best_epoch for curve in curves]
    return LearningRow(
        arm=arm,
        num_seeds=len(curves),
        epochs=max(int(curve.monitor.index.max()) for curve in curves),
        best_epochs=(min(best), max(best)),
        best=_cell([float(curve.monitor.max()) for curve in curves]),
        last=_cell([float(curve.monitor.iloc[-1]) for curve in curves]),
    )


def _cell(values: Sequence[float]) -> Cell:
    return Cell(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def _figure(by_arm: dict[str, list[Curve]], monitors: Sequence[str]) -> Figure:
    title = f"Learning curves, one line a seed: {', '.join(monitors)} and training loss by epoch, {', '.join(by_arm)}"
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained", label=title)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for position, (arm, curves) in enumerate(by_arm.items()):
        color = ARM_COLORS[position % len(ARM_COLORS)]
        # beyond the last colour, colours repeat and lines are dashed
        style = "-" if position < len(ARM_COLORS) else "--"
        for place, curve in enumerate(curves):
            label = arm if place == 0 else None
            upper.plot(curve.monitor.index, curve.monitor, style, color=color, linewidth=1.2, label=label)
            upper.plot(curve.best_epoch, curve.monitor.max(), "o", color=color, markersize=4)
            # a single epoch is a dot
            lower.plot(curve.loss.index, curve.loss, "o" if len(curve.loss) == 1 else style, color=color, linewidth=1.2)
    plain_axes(upper, "", ", ".join(monitors))
    plain_axes(lower, "epoch", "training loss")
    lower.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    upper.legend(frameon=False)
    return figure
