"""`python -m mmpkd.study.child PID ARGUMENTS...`: the Lightning command line, which stops when the process PID has ended."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str]) -> None:
    """Run a command; other ranks of a distributed run, which Lightning starts like this one, stop with the first rank."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if "LOCAL_RANK" not in os.environ and os.getppid() != int(argv[0]):
        sys.exit(143)  # the study ended before this process could ask to be told
    from mmpkd.cli import main as lightning

    lightning(list(argv[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
