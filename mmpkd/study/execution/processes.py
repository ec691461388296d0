"""Runs in processes of their own: several at a time, and each free to use several GPUs."""

import os
import queue
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_modules.processes.processors import num_processors
from data_modules.processes.shared_cache import FOLDER
from mmpkd.cli.error_lines import DEBUG
from mmpkd.numerics.threads import chosen_threads
from mmpkd.records.lock import hold
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.forked import Program, start_command, start_server
from mmpkd.study.plan.errors import StudyError

_SERVER_IS_GONE = 255  # what multiprocessing says then


class LocalProcesses:
    """Commands in processes of their own; what they print is appended to `log.txt` in the run's folder.

    Without GPUs, each process computes on one thread, unless OMP_NUM_THREADS is set: sums depend on the number of threads, and
    results must not depend on how many runs are made at a time. With several processes and GPUs, each process has one GPU; a
    single process has all of them. A process stops, and saves, when the study ends in whatever way.

    Args:
        program: The command line.
        num_jobs: Number of processes at a time.
        num_gpus: Number of GPUs of the machine.
        lock: Descriptor of the study's lock, see `locked`; each process holds it, too.
        images: Folder of images that the processes share, see `shared_images`; or None.
    """

    def __init__(self, program: Program, num_jobs: int, num_gpus: int, lock: int, images: Path | None = None) -> None:
        self._program = program
        self._lock = lock
        share = {"LOKY_MAX_CPU_COUNT": str(max(1, num_processors() // num_jobs))}  # `num_processors` of the process
        if images is not None:
            share[FOLDER] = str(images.resolve())
        if num_gpus == 0 and chosen_threads() is None:
            share["OMP_NUM_THREADS"] = "1"
        self._slots: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        gpus = given or [str(index) for index in range(num_gpus)]
        for slot in range(num_jobs):
            has_own_gpu = num_jobs > 1 and num_gpus > 0
            self._slots.put({**share, "CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if has_own_gpu else share)
        self._is_stopped = False
        start_server(program)

    def stop(self) -> None:
        """Stop processes that are being started; Ctrl-C in the terminal has reached the others."""
        self._is_stopped = True

    def __call__(self, command: RunCommand) -> None:
        """Execute a command to its end.

        Raises:
            SystemExit: If it was stopped.
            ChildProcessError: If it ended with another status than 0.
        """
        command.run.folder.mkdir(parents=True, exist_ok=True)
        log = command.run.record.log
        verb, *flags = command.arguments()
        environment = self._slots.get()
        try:
            process = start_command(self._program, [verb, DEBUG, *flags], log, environment, self._lock)
            if self._is_stopped:
                process.terminate()
            process.join()
        finally:
            self._slots.put(environment)
        status = process.exitcode
        if status == _SERVER_IS_GONE:
            raise ChildProcessError("the process that all runs are forked from was killed, perhaps for lack of memory")
        if status in (130, 143, -signal.SIGTERM):
            raise SystemExit(130 if status == 130 else 143)
        if status != 0:
            raise ChildProcessError(f"the process ended with status {status}; what it printed is in {log}")


@contextmanager
def shared_images(out: Path) -> Iterator[Path]:
    """Make a folder in which the runs of a study keep the images that they have in common, and remove it at the end.

    One that a killed study has left is emptied first: nothing in it survives a machine that stops.

    Args:
        out: Folder of the study, which must be locked.
    """
    folder = out / "shared_images"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(out: Path) -> Iterator[int]:
    """Keep a second study out of a folder; yields the descriptor of the lock.

    Processes of the study inherit the lock: after a kill it is free when the last of them has saved and ended.

    Raises:
        StudyError: If another process has the lock, or the file system has none.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w") as file:
        try:
            hold(file)
        except BlockingIOError as error:
            raise StudyError(
                f"Expected {out} to be free but a study is running in it, or processes of a stopped one are still saving. "
                "Wait for them, or give --out another folder."
            ) from error
        except OSError as error:
            raise StudyError(f"Expected a file system with file locks (flock) at {out} but: {error}") from error
        yield file.fileno()
