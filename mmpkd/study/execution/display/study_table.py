"""The table of the runs of a study: arm, seed, epoch, validation score, time left."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from data_modules.files.json_file import read_json
from mmpkd.records.run_progress import RunProgress
from mmpkd.study.execution.run import EndedRun, Run, is_finished, seconds_taken

_LINES_AROUND = 7  # title, heading, rules and caption


class StudyTable:
    """A table of a study's runs, read from their folders each time it is shown.

    Args:
        runs: All runs, in order.
        num_jobs: Number of runs at a time.
    """

    def __init__(self, runs: Sequence[Run], num_jobs: int) -> None:
        self._runs = runs
        self._num_jobs = num_jobs
        self._kept = [run for run in runs if is_finished(run)]
        self._running: list[Run] = []
        self._begun: dict[Path, float] = {}
        self._ended: list[EndedRun] = []

    def start(self, runs: Sequence[Run]) -> None:
        """Note that runs were started."""
        for run in runs:
            run.record.progress.unlink(missing_ok=True)  # left by an earlier attempt
            self._begun[run.folder] = time.monotonic()
        self._running += runs

    def end(self, ended: EndedRun) -> None:
        """Note that a run ended."""
        self._running.remove(ended.run)
        self._ended.append(ended)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the runs that ended or are being made; if there are too many rows, those that ended first are dropped."""
        height = options.height or console.height
        room = max(0, height - len(self._running) - _LINES_AROUND)
        table = Table(caption=self.summary(), caption_justify="left")
        for heading in ("arm", "seed", "epoch", "validation AUROC", ""):
            table.add_column(heading, justify="left" if heading in ("arm", "") else "right")
        for ended in self._ended[len(self._ended) - min(room, len(self._ended)) :]:
            table.add_row(*_cells(ended.run, _how_it_ended(ended)))
        # a copy, because the table is drawn in a thread of its own while runs start and end
        for run in list(self._running):
            progress = progress_of(run)
            left = None if progress is None else progress.seconds_left
            table.add_row(*_cells(run, "" if left is None else f"{_duration(left)} left" if left else "testing"))
        yield table

    def summary(self) -> str:
        """Return how many runs are finished, how many are running, and how long the rest will take."""
        failed = sum(ended.reason is not None for ended in self._ended)
        finished = len(self._kept) + len(self._ended) - failed
        left = self.seconds_left()
        parts = [f"{finished} of {len(self._runs)} finished", f"{len(self._running)} running"]
        parts += [f"{failed} failed"] if failed else []
        parts += [] if left is None else [f"about {_duration(left)} left"]
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Return how many seconds the remaining runs will take, or None as long as that of some run is unknown."""
        ended = {entry.run.folder for entry in self._ended}
        known = {run.folder for run in self._kept} | ended
        total = 0.0
        for run in self._runs:
            if run.folder in known:
                continue
            expected = self._seconds_left(run)
            if expected is None:
                return None
            total += expected
        # as if all jobs were busy to the end
        return total / self._num_jobs

    def _seconds_left(self, run: Run) -> float | None:
        """Return how many seconds a run will still take, or None if that is unknown."""
        expected = self._expected(run)
        if run not in self._running:
            return expected
        progress = progress_of(run)
        left = None if progress is None else progress.seconds_left
        if expected is None:
            return left
        # a run tells how long its training will take, and not its test
        return max(left or 0.0, expected - (time.monotonic() - self._begun[run.folder]))

    def _expected(self, run: Run) -> float | None:
        """Return how many seconds a run is expected to take, from finished runs of its kind."""
        made = [*self._kept, *(entry.run for entry in self._ended if entry.reason is None)]
        alike = [own for own in made if (own.arm.role, own.test_set) == (run.arm.role, run.test_set)]
        taken = [seconds for own in alike if (seconds := seconds_taken(own)) is not None]
        return fmean(taken) if taken else None


def progress_of(run: Run) -> RunProgress | None:
    """Return the progress of a run's training, or None before the end of its first epoch."""
    path = run.record.progress
    return RunProgress(**read_json(path)) if path.is_file() else None


def result_line(run: Run) -> str:
    """Return the score that chose the checkpoint and the duration of a finished run."""
    state = run.trained_record.state
    training = None if state is None else state.training
    seconds = seconds_taken(run)
    is_scored = training is not None and training.best_score is not None
    parts = [f"{training.monitor} {training.best_score:.3f}"] if is_scored and training is not None else []
    parts += [] if seconds is None else [_duration(seconds)]
    return ", ".join(parts) or "finished"


def _cells(run: Run, what: str) -> tuple[str, str, str, str, str]:
    progress = progress_of(run)
    if progress is None:
        return run.arm.name, str(run.seed), "", "", what or run.test_set or "begins"
    epochs = str(progress.epoch) if progress.epochs is None else f"{progress.epoch} of {progress.epochs}"
    score = "" if progress.score is None else f"{progress.score:.3f}"
    return run.arm.name, str(run.seed), epochs, score, what


def _how_it_ended(ended: EndedRun) -> str:
    if ended.reason is not None:
        return f"failed: {ended.reason.splitlines()[0]}"
    seconds = seconds_taken(ended.run)
    return "finished" if seconds is None else f"finished in {_duration(seconds)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
