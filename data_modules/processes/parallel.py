"""Apply a function to many jobs on all processors, with progress."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import accumulate
from typing import TypeVar

import cv2
from rich.progress import Progress

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
    sizes: Sequence[int] | None = None,
) -> Iterator[_Result]:
    """Yield the result of every job, in order, with a progress bar in a terminal and a few log lines elsewhere.

    Args:
        function: A function of a module, so that it can be pickled.
        jobs: Its arguments.
        num_workers: Processes; by default one per processor, 0 for none.
        what: Description of the work, for the progress bar.
        chunk: Jobs that a process gets at once; by default about four chunks per process.
        sizes: How much each job counts in the progress, such as its number of images; by default 1.

    Raises:
        WorkerDiedError: If a process is killed.
    """
    workers = num_processors() if num_workers is None else num_workers
    sizes = [1] * len(jobs) if sizes is None else sizes
    logger.info("%s: %d, in %d processes", what, sum(sizes), max(1, workers))
    if workers == 0:
        yield from _with_progress(map(function, jobs), sizes, what)
        return
    with ProcessPoolExecutor(workers, initializer=_single_thread) as pool:
        chunk = max(1, min(64, len(jobs) // (4 * workers))) if chunk is None else chunk
        try:
            yield from _with_progress(pool.map(function, jobs, chunksize=chunk), sizes, what)
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                f"Expected {workers} processes to end by themselves but one was killed: for lack of memory, or by a damaged "
                "file. Use fewer (--num_workers)."
            ) from error
        except BaseException:
            # without this, leaving the pool would wait for all remaining jobs
            pool.shutdown(cancel_futures=True)
            raise


def _with_progress(results: Iterable[_Result], sizes: Sequence[int], what: str) -> Iterator[_Result]:
    last = time.monotonic()
    is_shown = sys.stdout.isatty()
    with Progress(disable=not is_shown) as bar:
        task = bar.add_task(what, total=sum(sizes))
        for result, done in zip(results, accumulate(sizes), strict=True):
            bar.update(task, completed=done)
            if not is_shown and time.monotonic() - last >= SECONDS_BETWEEN_LOG_LINES:
                last = time.monotonic()
                logger.info("%s: %d of %d", what, done, sum(sizes))
            yield result


def _single_thread() -> None:
    cv2.setNumThreads(0)
