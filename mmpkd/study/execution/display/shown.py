"""An engine that shows its progress: a live table in a terminal, or one line per run elsewhere."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live

from mmpkd.study.execution.display.messages import messages
from mmpkd.study.execution.display.study_table import StudyTable, result_line
from mmpkd.study.execution.engines import Engine
from mmpkd.study.execution.run import EndedRun, Run

logger = logging.getLogger("mmpkd")


class Shown:
    """Makes runs with another engine, and shows their progress.

    Warnings of a run are logged with its name when it ends, each warning only once per study. The log of each run has all of its
    warnings.

    Args:
        engine: Engine that makes the runs.
        runs: All runs of the study, in order.
    """

    def __init__(self, engine: Engine, runs: Sequence[Run]) -> None:
        self.num_jobs = engine.num_jobs
        self._engine = engine
        self.table = StudyTable(runs, engine.num_jobs or max(1, len(runs)))
        self._log_sizes: dict[Path, int] = {}
        self._said: set[str] = set()

    def start(self, runs: Sequence[Run]) -> None:
        """Start runs."""
        for run in runs:
            log = run.record.log
            # logs are appended to, so older warnings would be told again
            self._log_sizes[log] = log.stat().st_size if log.is_file() else 0
        self.table.start(runs)
        self._engine.start(runs)

    def wait(self) -> list[EndedRun]:
        """Return the runs that ended, at least one, after logging how."""
        ended = self._engine.wait()
        for own in ended:
            self.table.end(own)
            self._say(own)
        return ended

    def _say(self, ended: EndedRun) -> None:
        run = ended.run
        if ended.reason is None:
            logger.info("%s: %s; %s", run.name, result_line(run), self.table.summary())
        new = [text for text in messages(run.record.log, self._log_sizes[run.record.log]) if text not in self._said]
        for text in new:
            logger.warning("%s: %s (in %s)", run.name, text, run.record.log)
        self._said.update(new)


@contextmanager
def live(table: StudyTable) -> Iterator[None]:
    """Show a table at the bottom of the terminal, if there is one; log messages appear above it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    # `Live` replaces `sys.stderr` to print above the table, but log handlers hold the original
    with Live(table, console=console, refresh_per_second=1), _logged_to_stderr():
        yield


@contextmanager
def _logged_to_stderr() -> Iterator[None]:
    """Make log handlers write to the current `sys.stderr`, since they keep the one from when they were created."""
    # the exact class: a `FileHandler` is a subclass and must keep its file
    handlers = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    before: list[TextIO] = [handler.stream for handler in handlers]
    for handler in handlers:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            handler.setStream(stream)
