"""`mmpkd plan`: how many seeds and patients a study needs, from a pilot."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mmpkd.commands.command import CommandParser, run_command


def main(argv: Sequence[str]) -> int:
    """Print the differences that studies of several sizes could show.

    Args:
        argv: Arguments after `plan`.

    Returns:
        Exit status.
    """
    parser = CommandParser(
        "mmpkd plan",
        description="From the variances of a pilot, estimate the difference that a study shows with a power of 80 %, by seeds "
        "and patients; what one more seed or more patients would gain; and the best that the study at hand could do.",
    )
    parser.add_argument("study", type=Path, help="study file, for example experiments/cxr/study.yaml")
    parser.add_argument(
        "--pilot", type=Path, required=True, help="folder of a study with at least three finished seeds"
    )
    parser.add_argument("--difference", type=_difference, help="a difference that the study should show")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--figure", type=Path, help="SVG file to write the figure to")
    return run_command(parser, argv, _run, takes_data_flags=False)


def _difference(text: str) -> float:
    value = float(text)
    # also refuses NaN
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a difference > 0 but got {text}")
    return value


def _run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    del overrides
    from rich.console import Console

    from data_modules.files.atomic import write_text
    from mmpkd.study.outlook.outlook import outlook_of
    from mmpkd.study.outlook.shown import figure_of, shown
    from mmpkd.study.plan.plan_file import load_plan

    outlook = outlook_of(load_plan(arguments.study), arguments.pilot, arguments.difference)
    if arguments.figure is not None:
        write_text(arguments.figure, figure_of(outlook))
    if arguments.json:
        sys.stdout.write(f"{json.dumps(asdict(outlook), indent=2)}\n")
    else:
        Console().print(shown(outlook))
    return 0
