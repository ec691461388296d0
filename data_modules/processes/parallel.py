"""Apply a function to many jobs on all processors, with progress."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2
from rich.progress import track

from data_modules.processes.processors import num_processors

logger = logging.getLogger("mmpkd")
SECONDS_BETWEEN_LOG_LINES = 15.0
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class WorkerDiedError(RuntimeError):
    """A process was killed in the middle of its work."""


def parallel(
    function: Callable[[_Job], _Result],
    jobs: Sequence[_Job],
    num_workers: int | None,
    what: str,
    chunk: int | None = None,
) -> Iterator[_Result]:
    """Yield the result of every job, in order, with a progress bar in a terminal and a few log lines elsewhere.

    Args:
        function: A function of a module, so that it can be pickled.
        jobs: Its arguments.
        num_workers: Processes; by default one per processor, 0 for none.
        what: Description of the work, for the progress bar.
        chunk: Jobs that a process gets at once; by default about four chunks per process.

    Raises:
        WorkerDiedError: If a process is killed.
    """
    workers = num_processors() if num_workers is None else num_workers
    logger.info("%s: %d, in %d processes", what, len(jobs), max(1, workers))
    if workers == 0:
        yield from _with_progress(map(function, jobs), len(jobs), what)
        return
    with ProcessPoolExecutor(workers, initializer=_single_thread) as pool:
        chunk = max(1, min(64, len(jobs) // (4 * workers))) if chunk is None else chunk
        try:
            yield from _with_progress(pool.map(function, jobs, chunksize=chunk), len(jobs), what)
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                f"Expected {workers} processes to end by themselves but one was killed: for lack of memory, or by a damaged "
                "file. Use fewer (--num_workers)."
            ) from error
        except BaseException:
            # without this, leaving the pool would wait for all remaining jobs
            pool.shutdown(cancel_futures=True)
            raise


def _with_progress(results: Iterable[_Result], total: int, what: str) -> Iterator[_Result]:
    if sys.stdout.isatty():
        yield from track(results, description=what, total=total)
        return
    last = time.monotonic()
    for number, result in enumerate(results, start=1):
        if time.monotonic() - last >= SECONDS_BETWEEN_LOG_LINES:
            last = time.monotonic()
            logger.info("%s: %d of %d", what, number, total)
        yield result


def _single_thread() -> None:
    cv2.setNumThreads(0)
