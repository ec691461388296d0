"""What the runs of a study execute, in this process and in others."""

from collections.abc import Sequence

from mmpkd.commands.main import main
from mmpkd.study.execution.forked import Program

PROGRAM = Program(main, preload="mmpkd.commands.preload", rank="mmpkd.commands.rank")


def run_lightning(args: Sequence[str]) -> None:
    """Run a Lightning command in this process; its imports take seconds, so they wait until it is called."""
    from mmpkd.cli.quick import main as lightning

    lightning(args)
