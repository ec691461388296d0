"""Make the unfinished runs of a study."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpkd.study.execution.engines import Engine
from mmpkd.study.execution.fingerprint import check_unchanged
from mmpkd.study.execution.likeness import Likeness
from mmpkd.study.execution.run import EndedRun, FailedRun, Run, is_finished

logger = logging.getLogger("mmpkd")


@dataclass(frozen=True)
class Outcome:
    """How a study ended.

    Attributes:
        finished: Finished runs, which can be reported.
        failed: Runs that failed or could not start.
    """

    finished: tuple[Run, ...]
    failed: tuple[FailedRun, ...]


def run_all(runs: Sequence[Run], engine: Engine, likeness: Likeness | None = None) -> Outcome:
    """Make all unfinished runs. A run that fails does not stop the others.

    Args:
        runs: Runs in order.
        engine: Engine that makes them.
        likeness: Check of arms that are compared, which is made whenever runs are about to start.

    Raises:
        StudyError: Before anything starts, if a folder holds a run that was made with other settings or by hand. Later, if the
            engine cannot continue, or if finished runs show that the arms are not alike.
    """
    for run in runs:
        check_unchanged(run)
    ledger = _Ledger(len(runs))
    waiting = list(runs)
    running: list[Run] = []
    while waiting or running:
        starting = _take_ready(waiting, running, engine.num_jobs, ledger)
        if starting:
            if likeness is not None:
                likeness.check()
            engine.start(starting)
            running += starting
        # nothing runs if all ready runs were settled; those that wait for them are ready next
        for ended in engine.wait() if running else ():
            running.remove(ended.run)
            ledger.close(ended)
    return ledger.outcome(runs)


def _take_ready(waiting: list[Run], running: Sequence[Run], num_jobs: int | None, ledger: "_Ledger") -> list[Run]:
    """Remove the runs that can start now from the waiting ones, and return those that still have to be made."""
    # a run waits for its teacher, for the training that it tests, and for the student on its teacher card
    open_folders = {run.folder for run in (*waiting, *running)}
    ready = [run for run in waiting if not open_folders & {run.teacher, run.trained, run.reference}]
    starting: list[Run] = []
    for run in ready:
        # never true for None, which means no limit
        if len(running) + len(starting) == num_jobs:
            break
        waiting.remove(run)
        if not ledger.settles(run):
            starting.append(run)
    return starting


class _Ledger:
    """How the runs have ended so far."""

    def __init__(self, num_runs: int) -> None:
        self._num_runs = num_runs
        self._position = 0
        self._finished: list[Run] = []
        self._failed: dict[Path, FailedRun] = {}

    def settles(self, run: Run) -> bool:
        """Return whether a run needs no work: it is finished, or a run that it depends on failed. Log its start otherwise."""
        self._position += 1
        cause = self._failed_before(run)
        if cause is not None:
            self._failed[run.folder] = FailedRun(run, f"{cause.run.name} failed: {cause.reason}")
            return True
        if is_finished(run):
            self._log(run, "already finished")
            self._finished.append(run)
            return True
        self._log(run, "testing" if run.test_set else "training")
        return False

    def close(self, ended: EndedRun) -> None:
        """Record how a run ended."""
        if ended.reason is None:
            self._finished.append(ended.run)
        else:
            self._failed[ended.run.folder] = FailedRun(ended.run, ended.reason)

    def outcome(self, runs: Sequence[Run]) -> Outcome:
        """Return how the runs ended, in their order."""
        order = {run.folder: position for position, run in enumerate(runs)}
        return Outcome(
            tuple(sorted(self._finished, key=lambda run: order[run.folder])),
            tuple(sorted(self._failed.values(), key=lambda failed: order[failed.run.folder])),
        )

    def _failed_before(self, run: Run) -> FailedRun | None:
        for folder in (run.trained, run.teacher):
            if folder is not None and folder in self._failed:
                return self._failed[folder]
        return None

    def _log(self, run: Run, what: str) -> None:
        logger.info("[%d/%d] %s: %s", self._position, self._num_runs, run.name, what)
