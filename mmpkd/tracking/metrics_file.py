"""Metrics in a CSV file that survives interruptions and resumes."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from data_modules.files.atomic import write_text
from mmpkd.records import RunFolder


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
        if not self.path.is_file():
            return
        # a damaged line is dropped like the rows of later steps; it must not prevent a resume
        lines = self.path.read_text(errors="replace", encoding="utf-8").splitlines(keepends=True)
        write_text(self.path, "".join(line for line in lines if _is_kept(line, last_step)))

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append values."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        epoch = metrics.get("epoch", "")
        is_new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["step", "epoch", "name", "value"])
            for name, value in metrics.items():
                if name != "epoch":
                    writer.writerow([step, epoch if epoch == "" else int(epoch), name, float(value)])

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the configuration is in `config.yaml`."""


def _is_kept(line: str, last_step: int) -> bool:
    """Return whether a line is the heading or a complete row of a step up to the last one."""
    # the last row is incomplete after a kill or on a full disk
    step = line.split(",", 1)[0]
    is_whole = line.endswith("\n") and line.count(",") >= 3
    return is_whole and (step == "step" or (step.isdecimal() and int(step) <= last_step))


def read_metrics(path: Path) -> Iterator[tuple[str, float]]:
    """Yield name and value of every row of a `metrics.csv`, oldest first; nothing if the file does not exist.

    An incomplete row is skipped.
    """
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["name"] and row["value"]:
                yield row["name"], float(row["value"])
