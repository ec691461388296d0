"""Commands in processes of their own that start without delay.

Importing the command line takes seconds of CPU time. A server (Python's `forkserver`) imports it once, and every process is
forked from there. The server computes nothing, so that a process starts without BLAS or OpenMP threads and without CUDA.
"""

import os
import signal
import sys
import threading
import traceback
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
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import gettempdir
from types import ModuleType
from typing import Any

from mmpkd.study.plan.errors import StudyError

# on macOS, frameworks such as Metal do not work in a process that was forked after they were loaded
METHOD = "spawn" if sys.platform == "darwin" else "forkserver"
_SERVER = {
    # with one of these set, libraries start no threads on import
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # find this package, but no file in the working directory that happens to be named like a module
    "PYTHONSAFEPATH": "1",
    "PYTHONPATH": str(Path(__file__).parents[3]),
}
# held while global state of this process is changed briefly to start another one, and while the end of one is asked for
_LOCK = threading.Lock()
_is_started = False


@dataclass(frozen=True)
class Program:
    """The command line that processes run.

    Attributes:
        main: Function of a module that runs a command, given as arguments, and returns its exit status.
        preload: Module that the server imports before it forks.
        rank: Module that `python -m` runs for a further rank of a distributed run.
    """

    main: Callable[[Sequence[str]], int]
    preload: str
    rank: str


def start_server(program: Program) -> None:
    """Start the server if it is not running; it ends with the last process that it serves.

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
    """Start a command. It gets SIGTERM when this process ends for any reason, or when the returned object is garbage-collected.

    Args:
        program: The command line.
        args: Arguments of `mmpkd`, for example ["fit", "--config", "experiments/cxr/teacher.yaml"].
        log: File to which the output of the command is appended.
        environment: Environment variables to add to those of this process.
        lock: Descriptor of a locked file, which the process keeps open until it ends.

    Returns:
        The process. Its `exitcode` is the status of the command, or the negative number of the signal that killed it.
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


def wait_for(process: BaseProcess) -> int | None:
    """Wait for the end of a process from `start_command`, and return its exit code.

    `BaseProcess.join` is not enough while other threads start processes. Each start asks for the ends of all earlier processes,
    and of two threads that ask at the same time, one takes the status, and the other one finds none and reports 255 for both.
    """
    wait([process.sentinel])  # takes nothing
    with _LOCK:
        process.join()
    return process.exitcode


def print_to(log: Path) -> None:
    """Append all further output of this process to a file."""
    # on the level of descriptors, which also catches what libraries in C print
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


class _Held:
    """A file descriptor that is duplicated for a process when it is pickled."""

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
    resource_tracker.ensure_running()  # the server needs it; starting it later would unblock Ctrl-C again
    with _environment(_SERVER), _ctrl_c_blocked():
        try:
            forkserver.ensure_running()
        except OSError as error:
            if "AF_UNIX path too long" not in str(error):
                raise
            raise StudyError(
                f"Expected a folder for temporary files with a path of at most 60 characters but got '{gettempdir()}'. "
                "Set TMPDIR to a shorter path."
            ) from error
    _is_started = True


@dataclass(frozen=True)
class _Command:
    """A command with everything that its process needs. The lock only has to stay open there."""

    program: Program
    args: list[str]
    log: str
    folder: str
    variables: dict[str, str]
    start_method: str | None
    lock: Any


def _run(command: _Command) -> None:
    """Run a command in the new process."""
    # otherwise the workers of a data loader would also come from a server, and would outlive a killed command
    set_start_method(command.start_method, force=True)
    # the server blocks Ctrl-C, and this process has inherited that
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # closing the terminal ends the study, which in turn makes this process save
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    print_to(Path(command.log))
    os.chdir(command.folder)
    # the environment is still that of the server
    os.environ.clear()
    os.environ.update(command.variables)
    _name_as_script(command.program, command.args)

    from mmpkd.cli.error_lines import reason_of
    from mmpkd.numerics.threads import use_all_threads

    use_all_threads()
    try:
        status = command.program.main(command.args)
    except Exception as error:
        # the last line of the log, below the traceback, is what the study tells
        traceback.print_exc()
        sys.stderr.write(f"{reason_of(error)}\n")
        status = 1
    sys.exit(status)


def _stop_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _name_as_script(program: Program, args: Sequence[str]) -> None:
    """Set `sys.argv` so that the command can be started again, as Lightning does for the other ranks of a distributed run."""
    import __main__

    sys.argv = ["mmpkd", *args]
    __main__.__spec__ = find_spec(program.rank)


@contextmanager
def _no_script() -> Iterator[None]:
    """Hide the running script, which multiprocessing would otherwise import again in the new process."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Keep Ctrl-C from a process started here: only the study and its runs should get it."""
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
