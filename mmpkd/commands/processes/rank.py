"""`python -m mmpkd.commands.processes.rank ARGUMENTS...`: another rank of a distributed run, started by the first rank.

It stops when the first rank stops.
"""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def main() -> int:
    """Run the command of the first rank."""
    if sys.platform == "linux":
        # the kernel sends SIGTERM to this process when its parent dies
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    from mmpkd.commands.main import main as mmpkd

    return mmpkd(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
