"""`python -m mmpkd`."""

import sys

from mmpkd.commands.main import program

if __name__ == "__main__":
    sys.exit(program())
