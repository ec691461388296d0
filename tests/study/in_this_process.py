"""An engine for tests, which makes the runs of a study in the tests' own process."""

from collections import deque
from collections.abc import Sequence

from mmpkd.study.execution.attempt import attempt
from mmpkd.study.execution.command import Execute
from mmpkd.study.execution.run import EndedRun, Run


class InThisProcess:
    """Makes one run after another in this process.

    Args:
        execute: Function that executes a command on a run.
    """

    num_jobs: int | None = 1

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._started: deque[Run] = deque()

    def start(self, runs: Sequence[Run]) -> None:
        """Note the runs, which `wait` makes."""
        self._started.extend(runs)

    def wait(self) -> list[EndedRun]:
        """Make the next run and return how it ended."""
        run = self._started.popleft()
        return [EndedRun(run, attempt(run, self._execute))]
