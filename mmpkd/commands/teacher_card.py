"""`mmpkd teacher-card`: scores of a teacher, and tests for leaks."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmpkd.commands.command import CommandParser, run_command


def main(argv: Sequence[str]) -> int:
    """Print a teacher card, and optionally write it as JSON.

    Returns:
        Exit status: 0; 1 after an error in data or teacher; 130 after Ctrl-C.
    """
    return run_command(_parser(), argv, _run)


def _run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    from data_modules.files.atomic import check_writable
    from data_modules.files.json_file import write_json
    from mmpkd.cli.data_config import load_data_module
    from mmpkd.numerics.hardware import gpu_or_cpu
    from mmpkd.teachers.card import show, student_auroc, teacher_card
    from mmpkd.teachers.teacher import load_teacher

    if options.json is not None:
        check_writable(options.json)
    data = load_data_module(options.config, overrides)
    data.serve(load_images=False, load_privileged=True)
    student = None if options.student is None else student_auroc(options.student, options.split)
    teacher = load_teacher(options.teacher, options.trust_remote_code)
    card = teacher_card(teacher, data, gpu_or_cpu(), student, options.split)
    show(card, Console())
    if options.json is not None:
        write_json(options.json, card.to_json())
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd teacher-card",
        description="Score a teacher with confidence intervals over patients, by default on the validation split, test it for "
        "leaks, and warn if it has little to teach.",
        epilog="Other flags change the data, for example --data.root=/data/mimic-cxr-jpg",
    )
    parser.add_argument("config", type=Path, help="an experiment, or a file of experiments/data/")
    parser.add_argument("teacher", type=Path, help="checkpoint of the teacher")
    parser.add_argument("--student", type=Path, help="folder of an image-only student's run, to compare with")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="split to score (default: val)")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run Python code that comes with a text encoder"
    )
    parser.add_argument("--json", type=Path, help="also write the card to this file")
    return parser
