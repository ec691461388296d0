"""Where the runs of a study are made."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, Self

from mmpkd.study.execution.attempt import attempt
from mmpkd.study.execution.command import Execute
from mmpkd.study.execution.run import EndedRun, Run


class Engine(Protocol):
    """Makes runs.

    Attributes:
        num_jobs: Most runs at a time; None for no limit.
    """

    num_jobs: int | None

    def start(self, runs: Sequence[Run]) -> None:
        """Begin with runs whose teachers are finished."""

    def wait(self) -> list[EndedRun]:
        """Return the runs that ended since the last call, at least one."""


class InThisProcess:
    """One run after another in this process.

    Args:
        execute: Executes a command on a run.
    """

    num_jobs: int | None = 1

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._started: deque[Run] = deque()

    def start(self, runs: Sequence[Run]) -> None:
        """Keep the runs; `wait` makes them."""
        self._started.extend(runs)

    def wait(self) -> list[EndedRun]:
        """Make a run."""
        run = self._started.popleft()
        return [EndedRun(run, attempt(run, self._execute))]


class InThreads:
    """Several runs at a time, each from a thread; used in a `with` block, which ends when they have.

    Args:
        execute: Executes a command on a run, in a process of its own.
        num_jobs: Most runs at a time.
    """

    def __init__(self, execute: Execute, num_jobs: int) -> None:
        self.num_jobs: int | None = num_jobs
        self._execute = execute
        self._pool = ThreadPoolExecutor(num_jobs)
        self._running: dict[Future[str | None], Run] = {}

    def __enter__(self) -> Self:
        """Do nothing."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait for the runs that were started."""
        self._pool.shutdown()

    def start(self, runs: Sequence[Run]) -> None:
        """Begin with runs, each in a thread of its own."""
        self._running |= {self._pool.submit(attempt, run, self._execute): run for run in runs}

    def wait(self) -> list[EndedRun]:
        """Return the runs that ended, at least one."""
        done = wait(self._running, return_when=FIRST_COMPLETED).done
        return [EndedRun(self._running.pop(future), future.result()) for future in done]
