"""`mmpkd targets`: build, verify and show stored targets of teachers."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmpkd.commands.command import CommandParser, at_least, new_folder, run_command


def main(argv: Sequence[str]) -> int:
    """Run one of the actions.

    Returns:
        Exit status: 0; 1 after an error in data, teachers or targets; 130 after Ctrl-C.
    """
    return run_command(_parser(), argv, _run)


def _run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    # imported here, so that `--help` and wrong arguments do not wait for PyTorch
    from mmpkd.commands.targets.stored_targets import ACTIONS

    return ACTIONS[options.action](options, overrides)


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd targets",
        description="Stored targets: outputs of frozen teachers for every training sample, for `--model.teacher`.",
        epilog="Other flags change the data, for example --data.root=/data/mimic-cxr-jpg",
    )
    commands = parser.add_subparsers(dest="action", required=True)
    build = commands.add_parser("build", help="run teachers once over the training split; several form an ensemble")
    build.add_argument("config", type=Path, help="an experiment, or a file of experiments/data/")
    build.add_argument("teachers", type=Path, nargs="+", help="checkpoints of teachers")
    cross = commands.add_parser("cross-fit", help="train a teacher per fold of patients and store out-of-fold targets")
    cross.add_argument("config", type=Path, help="the experiment of a teacher")
    boost = commands.add_parser("boost", help="fit gradient boosting on the table and store out-of-fold targets")
    boost.add_argument("config", type=Path, help="an experiment, or a file of experiments/data/")
    boost.add_argument("--seed", type=at_least(0), default=0)
    for command in (build, cross, boost):
        command.add_argument("--out", type=new_folder, required=True, help="folder to write")
    for command in (cross, boost):
        command.add_argument("--folds", type=at_least(2), default=5, help="number of patient folds (default: 5)")
    verify = commands.add_parser("verify", help="compare targets with teachers and data, and compute 32 rows again")
    verify.add_argument("folder", type=Path)
    verify.add_argument("config", type=Path, help="an experiment, or a file of experiments/data/")
    verify.add_argument("teachers", type=Path, nargs="+", help="checkpoints of the teachers, in the same order")
    for command in (build, cross, verify):
        command.add_argument(
            "--trust-remote-code", action="store_true", help="run Python code that comes with a text encoder"
        )
    show = commands.add_parser("show", help="print a summary of a folder")
    show.add_argument("folder", type=Path)
    return parser
