"""Commands of `mmpkd` in processes of their own that start at once, for tests that kill, stop or restart them."""

import signal
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from mmpkd.commands.processes.run import PROGRAM
from mmpkd.study.execution.forked import start_command


def start(args: Sequence[str], log: Path) -> BaseProcess:
    """Start a command; what it prints is in `log`."""
    return start_command(PROGRAM, args, log, {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})


def finish(process: BaseProcess) -> int:
    """Wait for a command and return its status, or minus the number of the signal that killed it."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def heed_ctrl_c() -> None:
    """Undo what a shell does to jobs in the background, where the tests may run: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
