"""`mmpkd check-data`: counts and problems of a data set, before anything is trained."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmpkd.commands.command import CommandParser, at_least, run_command


def main(argv: Sequence[str]) -> int:
    """Check a data set and print its counts and problems.

    Returns:
        Exit status: 0; 1 if there are errors; 130 after Ctrl-C.
    """
    return run_command(_parser(), argv, _run)


def _run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    # imported here, so that `--help` and wrong arguments do not wait for PyTorch
    from rich.console import Console

    from data_modules.checks import check_data
    from data_modules.files.atomic import check_writable
    from data_modules.files.json_file import write_json
    from mmpkd.cli.data_config import load_data_module
    from mmpkd.commands.data_report import show

    if options.json is not None:
        check_writable(options.json)  # before the check, which can take long
    data = load_data_module(options.config, overrides)
    max_images = None if options.images == "all" else int(options.images)
    report = check_data(data, max_images, options.num_workers, options.deep)
    show(report, Console())
    if options.json is not None:
        write_json(options.json, report.to_json())
    return 1 if report.num_errors else 0


def _images(text: str) -> str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number or 'all' but got '{text}'")
    return text


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd check-data",
        description="Count the samples of a data set by split, label, view and region, and find what would break training or "
        "scores: patients or files in several splits, missing files, unreadable images, constant labels, privileged columns that "
        "equal a label, regions outside their image.",
        epilog="Other flags change the data, for example --data.root=/data/mimic-cxr-jpg",
    )
    parser.add_argument("config", type=Path, help="an experiment, or a file of experiments/data/")
    parser.add_argument(
        "--images", type=_images, default="200", help="images to decode per split, or 'all' (default: 200)"
    )
    parser.add_argument("--deep", action="store_true", help="also compare the contents of all image files")
    parser.add_argument("--num_workers", type=at_least(0), help="number of processes (default: one per processor)")
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    return parser
