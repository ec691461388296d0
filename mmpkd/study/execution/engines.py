"""Engines, which make the runs of a study."""

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, Self

from mmpkd.study.execution.attempt import attempt
from mmpkd.study.execution.command import Execute
from mmpkd.study.execution.run import EndedRun, Run


class Engine(Protocol):
    """Makes runs.

    Attributes:
        num_jobs: Maximum number of runs at a time; None for no limit.
    """

    num_jobs: int | None

    def start(self, runs: Sequence[Run]) -> None:
        """Start runs whose teachers are finished."""

    def wait(self) -> list[EndedRun]:
        """Return the runs that ended since the last call, at least one."""


class InThreads:
    """Makes several runs at a time, each from its own thread. Leaving its `with` block waits for them.

    Args:
        execute: Function that executes a command on a run in a process of its own.
        num_jobs: Maximum number of runs at a time.
    """

    def __init__(self, execute: Execute, num_jobs: int) -> None:
        self.num_jobs: int | None = num_jobs
        self._execute = execute
        # a thread only waits for the process of its run, so threads do not slow each other
        self._pool = ThreadPoolExecutor(num_jobs)
        self._running: dict[Future[str | None], Run] = {}

    def __enter__(self) -> Self:
        """Do nothing."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait for the runs that were started."""
        self._pool.shutdown()

    def start(self, runs: Sequence[Run]) -> None:
        """Start runs, each in a thread of its own."""
        self._running |= {self._pool.submit(attempt, run, self._execute): run for run in runs}

    def wait(self) -> list[EndedRun]:
        """Return the runs that ended, at least one."""
        done = wait(self._running, return_when=FIRST_COMPLETED).done
        return [EndedRun(self._running.pop(future), future.result()) for future in done]
