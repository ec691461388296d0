"""`python -m mmpkd.commands.rank ARGUMENTS...`: a further rank of a distributed run, started by the first; it stops with it."""

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
