"""Runs in processes of their own: several at a time, and each free to use several GPUs."""

import fcntl
import os
import queue
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmpkd.study.plan import StudyError


class LocalProcesses:
    """The Lightning command line in a process of its own; what it prints is appended to `log.txt` in the run's folder.

    Processors are shared between the processes unless OMP_NUM_THREADS is set. With several processes and GPUs, each process
    has one GPU; a single process has all of them. A process stops, and saves, when the study ends in whatever way.

    Args:
        num_jobs: Number of processes at a time.
        num_gpus: Number of GPUs of the machine.
        lock: Descriptor of the study's lock, see `locked`; each process holds it, too.
    """

    def __init__(self, num_jobs: int, num_gpus: int, lock: int) -> None:
        self._lock = lock
        self._slots: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // num_jobs))
        given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        gpus = given or [str(index) for index in range(num_gpus)]
        for slot in range(num_jobs):
            environment = {"OMP_NUM_THREADS": threads}
            if num_jobs > 1 and num_gpus > 0:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
            self._slots.put(environment)

    def __call__(self, args: Sequence[str]) -> None:
        """Run one command to its end.

        Raises:
            SystemExit: If it was stopped.
            ChildProcessError: If it ended with another status than 0.
        """
        folder = Path(args[list(args).index("--run.dir") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        environment = self._slots.get()
        command = [sys.executable, "-m", "mmpkd.study.child", str(os.getpid()), *args]
        try:
            with (folder / "log.txt").open("ab") as log:
                status = subprocess.run(
                    command,
                    env={**os.environ, **environment},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(self._lock,),
                    check=False,
                ).returncode
        finally:
            self._slots.put(environment)
        if status in (130, 143):
            raise SystemExit(status)
        if status != 0:
            raise ChildProcessError(
                f"the process ended with status {status}; what it printed is in {folder / 'log.txt'}"
            )


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
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyError(
                f"Expected {out} to be free but a study is running in it, or processes of a stopped one are still saving. "
                "Wait for them, or give --out another folder."
            ) from error
        except OSError as error:
            raise StudyError(f"Expected a file system with file locks (flock) at {out} but: {error}") from error
        yield file.fileno()
