"""`python -m mmpkd.commands.processes.rank ARGUMENTS...`: a further rank of a distributed run, started by the first.

It stops with the first.
"""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the command of the first rank."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    from mmpkd.commands.main import main as mmpkd

    return mmpkd(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
