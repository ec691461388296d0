"""Runs in processes of their own, several at a time, each of which may use several GPUs."""

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
from mmpkd.study.execution.forked import Program, start_command, start_server, wait_for
from mmpkd.study.plan.errors import StudyError

_SERVER_IS_GONE = 255  # exit code that multiprocessing reports then


class LocalProcesses:
    """Runs commands in processes of their own, and appends their output to `log.txt` in the run's folder.

    Without GPUs, each process computes with one thread, unless OMP_NUM_THREADS is set. Sums depend on the number of threads, and
    results must not depend on how many runs are made at a time. With GPUs, several processes get one GPU each, and a single
    process gets all of them. Whenever the study ends, for whatever reason, its processes save and stop.

    Args:
        program: The command line.
        num_jobs: Number of processes at a time.
        num_gpus: Number of GPUs of the machine.
        lock: Descriptor of the study's lock, see `locked`; each process holds it as well.
        images: Folder of images that the processes share, see `shared_images`, or None.
    """

    def __init__(self, program: Program, num_jobs: int, num_gpus: int, lock: int, images: Path | None = None) -> None:
        self._program = program
        self._lock = lock
        share = {"LOKY_MAX_CPU_COUNT": str(max(1, num_processors() // num_jobs))}  # `num_processors` of the process
        if images is not None:
            share[FOLDER] = str(images.resolve())
        if num_gpus == 0 and chosen_threads() is None:
            share["OMP_NUM_THREADS"] = "1"
        # each process takes the environment of a slot and returns it, so no two have the same slot
        self._slots: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        # GPUs that a cluster or the user has assigned, by number or by UUID
        given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        gpus = given or [str(index) for index in range(num_gpus)]
        for slot in range(num_jobs):
            has_own_gpu = num_jobs > 1 and num_gpus > 0
            # more processes than GPUs share them in turn
            self._slots.put({**share, "CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if has_own_gpu else share)
        self._is_stopped = False
        start_server(program)

    def stop(self) -> None:
        """Stop processes that are being started; Ctrl-C in the terminal already reached the others."""
        self._is_stopped = True

    def __call__(self, command: RunCommand) -> None:
        """Execute a command and wait for its end.

        Raises:
            SystemExit: If it was stopped.
            ChildProcessError: If its exit status is not 0.
        """
        command.run.folder.mkdir(parents=True, exist_ok=True)
        log = command.run.record.log
        written = log.stat().st_size if log.is_file() else 0
        verb, *flags = command.arguments()
        environment = self._slots.get()
        try:
            # with `--debug`, the traceback of any error is in the log
            process = start_command(self._program, [verb, DEBUG, *flags], log, environment, self._lock)
            # Ctrl-C came while this process was started, so it did not get it
            if self._is_stopped:
                process.terminate()
            status = wait_for(process)
        finally:
            self._slots.put(environment)
        if status == _SERVER_IS_GONE:
            raise ChildProcessError("the server process that forks all runs was killed, perhaps for lack of memory")
        # 128 + SIGINT or SIGTERM, or SIGTERM before the process could handle it
        if status in (130, 143, -signal.SIGTERM):
            raise SystemExit(130 if status == 130 else 143)
        if status != 0:
            raise ChildProcessError(_reason(status, log, written))


def _reason(status: int | None, log: Path, start: int) -> str:
    """Return why a process ended, which the last line of what it printed says.

    Args:
        status: Exit status, or minus the signal that killed the process.
        log: File with its output.
        start: Size of that file before the process started.
    """
    ended = f"the process ended with status {status}; its output is in {log}"
    lines = log.read_bytes()[start:].decode(errors="replace").split("\n") if log.is_file() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    # a process that was killed may have printed anything last, but another rank may have said why
    is_killed = status is None or status < 0
    if not last:
        return ended
    return f"{ended}; its last line is: {last}" if is_killed else f"{last} ({ended})"


@contextmanager
def shared_images(out: Path) -> Iterator[Path]:
    """Create a folder for images that the runs of a study share, and remove it at the end.

    If a killed study left such a folder, it is emptied first, because its files may be incomplete after a crash.

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
    """Lock a folder against a second study, and yield the descriptor of the lock.

    Processes of the study inherit the lock, so if the study is killed, it is released when the last of them has saved and ended.

    Raises:
        StudyError: If another process has the lock, or the file system has none.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w", encoding="utf-8") as file:
        try:
            hold(file)
        except BlockingIOError as error:
            raise StudyError(
                f"Expected {out} to be free but a study is running in it, or processes of a stopped one are still saving. "
                "Wait for them, or choose another --out."
            ) from error
        except OSError as error:
            raise StudyError(f"Expected a file system with file locks (flock) at {out} but: {error}") from error
        yield file.fileno()
