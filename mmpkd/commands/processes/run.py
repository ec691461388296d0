"""Execution of a study's commands, in this process and in others."""

from mmpkd.commands.main import main
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.forked import Program

PROGRAM = Program(main, preload="mmpkd.commands.processes.preload", rank="mmpkd.commands.processes.rank")


def run_lightning(command: RunCommand) -> None:
    """Execute a command in this process. Its imports take seconds, so they are done here and not at the top."""
    from mmpkd.cli.quick import main as lightning

    lightning(command.arguments())
