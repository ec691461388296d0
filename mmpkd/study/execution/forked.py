"""Commands in processes of their own that start at once.

Importing the command line takes seconds of CPU time. A server, Python's own `forkserver`, imports it once, and every process is
forked from there. The server computes nothing, so that a process begins without threads of BLAS or OpenMP and without CUDA.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import (
    forkserver,
    get_context,
    get_start_method,
    parent_process,
    resource_tracker,
    set_start_method,
)
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import gettempdir
from types import ModuleType
from typing import Any

from mmpkd.study.plan.errors import StudyError

# on macOS, Metal and other frameworks do not work in a process that was forked after they were loaded
METHOD = "spawn" if sys.platform == "darwin" else "forkserver"
_SERVER = {
    # libraries that see one of these while they are imported start no threads
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # it finds this package, but no file of the working directory that happens to have the name of a module
    "PYTHONSAFEPATH": "1",
    "PYTHONPATH": str(Path(__file__).parents[3]),
}
_LOCK = threading.Lock()  # held while this process is changed for a moment, so that a process can be started
_is_started = False


@dataclass(frozen=True)
class Program:
    """The command line that processes run.

    Attributes:
        main: Runs a command, given as arguments, and returns its exit status. A function of a module.
        preload: Module that the server imports before it forks.
        rank: Module that `python -m` runs for a further rank of a distributed run.
    """

    main: Callable[[Sequence[str]], int]
    preload: str
    rank: str


def start_server(program: Program) -> None:
    """Start the server, once; it ends with the last process that it serves.

    Raises:
        StudyError: If the path of the folder for temporary files is too long.
    """
    with _LOCK:
        _start_server(program)


def start_command(
    program: Program,
    args: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    lock: int | None = None,
) -> BaseProcess:
    """Start a command. The command gets SIGTERM when this process ends, in whatever way, or forgets what is returned.

    Args:
        program: The command line.
        args: Arguments of `mmpkd`, for example ["fit", "--config", "experiments/cxr/teacher.yaml"].
        log: File that everything the command prints is appended to.
        environment: Environment variables that are added to those of this process.
        lock: Descriptor of a locked file that the process holds, too, until it ends.

    Returns:
        The process. Its `exitcode` is the status of the command, or minus the number of the signal that killed it.
    """
    held = None if lock is None else _Held(lock)
    with _LOCK:
        _start_server(program)
        variables = {**os.environ, **(environment or {})}
        command = _Command(
            program, list(args), str(log), str(Path.cwd()), variables, get_start_method(allow_none=True), held
        )
        context: Any = get_context(METHOD)
        process: BaseProcess = context.Process(target=_run, args=(command,))
        with _no_script():
            process.start()
    return process


def print_to(log: Path) -> None:
    """Append everything that this process prints from now on to a file."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


class _Held:
    """A file descriptor that a process gets a copy of when this is pickled for it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (DupFd(self._descriptor),)


def _receive(duplicate: Any) -> int:
    descriptor: int = duplicate.detach()
    return descriptor


def _start_server(program: Program) -> None:
    global _is_started
    if _is_started or METHOD != "forkserver":
        return
    forkserver.set_forkserver_preload([program.preload])
    resource_tracker.ensure_running()  # the server's companion; to start it later would unblock Ctrl-C again
    with _environment(_SERVER), _ctrl_c_blocked():
        try:
            forkserver.ensure_running()
        except OSError as error:
            if "AF_UNIX path too long" not in str(error):
                raise
            raise StudyError(
                f"Expected a folder for temporary files with a path of at most 60 characters but got '{gettempdir()}'. "
                "Set TMPDIR to another one."
            ) from error
    _is_started = True


@dataclass(frozen=True)
class _Command:
    """A command with everything that its process needs; the lock only has to be open there."""

    program: Program
    args: list[str]
    log: str
    folder: str
    variables: dict[str, str]
    start_method: str | None
    lock: Any


def _run(command: _Command) -> None:
    """Run a command in the new process."""
    # otherwise the workers of a data loader would come from a server, too, and would outlive a command that is killed
    set_start_method(command.start_method, force=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # when a terminal is closed, the study ends, and this process saves for that reason
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    print_to(Path(command.log))
    os.chdir(command.folder)
    os.environ.clear()
    os.environ.update(command.variables)
    _name_as_script(command.program, command.args)

    from mmpkd.numerics.threads import use_all_threads

    use_all_threads()
    sys.exit(command.program.main(command.args))


def _stop_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _name_as_script(program: Program, args: Sequence[str]) -> None:
    """Say how the command can be started again: Lightning does so for the other ranks of a distributed run."""
    import __main__

    sys.argv = ["mmpkd", *args]
    __main__.__spec__ = find_spec(program.rank)


@contextmanager
def _no_script() -> Iterator[None]:
    """Hide the script that runs here: multiprocessing would run it again in the new process, to find what it defines."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Keep Ctrl-C from a process that is started here; it is for the study and its runs."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
