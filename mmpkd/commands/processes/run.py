"""How the commands of a study are executed, in this process and in others."""

from mmpkd.commands.main import main
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.forked import Program

PROGRAM = Program(main, preload="mmpkd.commands.processes.preload", rank="mmpkd.commands.processes.rank")


def run_lightning(command: RunCommand) -> None:
    """Execute a command on a run in this process; its imports take seconds, so they wait until it is called."""
    from mmpkd.cli.quick import main as lightning

    lightning(command.arguments())
