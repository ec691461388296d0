"""Commands in processes of their own that start at once.

Importing the command line takes seconds of CPU time. A server, Python's own `forkserver`, imports it once, and every process is
forked from there. The server computes nothing, so that a process begins without threads of BLAS or OpenMP and without CUDA.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, get_start_method, parent_process, set_start_method
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

# libraries that see one of these while they are imported start no threads
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def start_server() -> None:
    """Start the server if it is not running; it ends with the last process that it serves."""
    forkserver.set_forkserver_preload(["mmpkd.quick_cli"])
    with _environment(_ONE_THREAD):
        forkserver.ensure_running()


def start_command(
    args: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    num_threads: int | None = None,
    lock: int | None = None,
) -> ForkServerProcess:
    """Start a command. When this process ends, in whatever way, the command gets SIGTERM.

    Args:
        args: Arguments of `mmpkd`, for example ["fit", "--config", "experiments/cxr/teacher.yaml"].
        log: File that everything the command prints is appended to.
        environment: Environment variables that are added to those of this process.
        num_threads: Threads of PyTorch, unless OMP_NUM_THREADS is set; by default as many as there are processors.
        lock: Descriptor of a locked file that the process holds, too, until it ends.

    Returns:
        The process. Its `exitcode` is the status of the command, or minus the number of the signal that killed it.
    """
    start_server()
    variables = {**os.environ, **(environment or {})}
    held = None if lock is None else _Held(lock)
    arguments = (list(args), str(log), str(Path.cwd()), variables, get_start_method(), num_threads, held)
    process = get_context("forkserver").Process(target=_run, args=arguments)
    process.start()
    return process


class _Held:
    """A file descriptor that a process gets a copy of when this is pickled for it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (DupFd(self._descriptor),)


def _receive(duplicate: Any) -> int:
    descriptor: int = duplicate.detach()
    return descriptor


def _run(
    args: list[str],
    log: str,
    folder: str,
    variables: dict[str, str],
    start_method: str,
    num_threads: int | None,
    lock: int | None,
) -> None:
    """Run a command in the forked process."""
    del lock  # it is enough that the descriptor is open
    # otherwise the workers of a data loader would come from a server, too, and would outlive a command that is killed
    set_start_method(start_method, force=True)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    _set_num_threads(num_threads)
    _name_as_script(args)
    from mmpkd.__main__ import main

    sys.exit(main(args))


def _stop_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _set_num_threads(num_threads: int | None) -> None:
    """Undo the server's limit of one thread."""
    import torch

    from data_modules.processors import num_processors

    own = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(int(own) if own.isdecimal() else num_threads or num_processors())


def _name_as_script(args: Sequence[str]) -> None:
    """Say how the command can be started again: Lightning does so for the other ranks of a distributed run."""
    from importlib.util import find_spec

    import __main__

    sys.argv = ["mmpkd", *args]
    __main__.__spec__ = find_spec("mmpkd.study.rank")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
