"""Metrics in a CSV file that survives interruptions and resumes."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from data_modules.files.atomic import write_text
from mmpkd.records import RunFolder


class LoggedValue(NamedTuple):
    """A logged value.

    Attributes:
        step: Optimizer step, from 0.
        epoch: Epoch, from 0, or None outside a training.
        name: Name of the metric.
        value: Its value; NaN if it is undefined.
    """

    step: int
    epoch: int | None
    name: str
    value: float


_HEADING = ",".join(LoggedValue._fields)


class MetricsFile(Logger):
    """Appends one row per value to `metrics.csv`: step, epoch, name, value.

    Rows are written immediately, so none is lost if the process is killed. A resumed run removes the rows of the steps that it
    repeats and appends to the same file.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.path = folder.metrics
        self._step = 0

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """Empty: the file has no versions."""
        return ""

    @rank_zero_only
    def keep(self, last_step: int) -> None:
        """Remove the rows of all steps after the given one."""
        self._step = max(0, last_step)
        if not self.path.is_file():
            return
        # a damaged line is dropped like the rows of later steps; it must not prevent a resume
        kept = [line for line in _lines(self.path) if (row := _parsed(line)) is not None and row.step <= last_step]
        write_text(self.path, "".join([f"{_HEADING}\r\n", *kept]))

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append values.

        Args:
            metrics: Values by name; `epoch` is the epoch of the others.
            step: Step; the last one if None, as in `trainer.logger.log_metrics(...)`. A value that is logged as `step` takes its
                place, and is no whole number.
        """
        self._step = self._step if step is None else int(step)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        epoch = metrics.get("epoch", "")
        # a power failure may leave an empty file
        is_new = not self.path.exists() or not self.path.stat().st_size
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(LoggedValue._fields)
            for name, value in metrics.items():
                if name != "epoch":
                    writer.writerow([self._step, epoch if epoch == "" else int(epoch), name, float(value)])

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the configuration is in `config.yaml`."""


def read_metrics(path: Path) -> Iterator[LoggedValue]:
    """Yield the logged values of a `metrics.csv`, oldest first; nothing if the file does not exist.

    An incomplete last row, which a kill may leave, is skipped.

    Raises:
        ValueError: If another row is damaged.
    """
    if not path.is_file():
        return
    heading, *lines = _lines(path) or [_HEADING]
    if heading.rstrip() != _HEADING:
        raise ValueError(
            f"Expected '{_HEADING}' in the first line of '{path}' but it is damaged. Restore or delete it."
        )
    for number, line in enumerate(lines, start=2):
        row = _parsed(line)
        if row is not None:
            yield row
        elif line.endswith("\n"):
            raise ValueError(
                f"Expected a logged value in line {number} of '{path}' but it is damaged. Restore or delete it."
            )


def _lines(path: Path) -> list[str]:
    """Return the lines of a file with their ends; what is no UTF-8 makes a row damaged, and must not prevent a resume."""
    with path.open(newline="\n", errors="replace", encoding="utf-8") as file:
        return file.readlines()


def _parsed(line: str) -> LoggedValue | None:
    """Return the value in a line, or None if it is incomplete or damaged."""
    cells = next(csv.reader([line]), [])
    if not line.endswith("\n") or len(cells) != len(LoggedValue._fields):
        return None
    step, epoch, name, value = cells
    try:
        return LoggedValue(int(step), int(float(epoch)) if epoch else None, name, float(value))
    except ValueError:
        return None
