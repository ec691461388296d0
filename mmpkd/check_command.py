"""`mmpkd check-data`: what a data set holds and what is wrong with it, before anything is trained."""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from data_modules.checks import DataReport, check_data
from data_modules.json_file import write_json
from mmpkd.data_config import load_data_module

LABEL_COUNTS = ("present", "absent", "not_stated", "roi")


def main(argv: Sequence[str]) -> int:
    """Check a data set and print what was found.

    Returns:
        0; 1 if there are errors; 130 after Ctrl-C.
    """
    options, overrides = _parser().parse_known_args(list(argv))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        data = load_data_module(options.config, overrides)
        max_images = None if options.images == "all" else int(options.images)
        report = check_data(data, max_images, options.num_workers)
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        sys.stderr.write(f"mmpkd check-data: {error}\n")
        return 1
    if options.json is not None:
        write_json(options.json, report.to_json())
    show(report, Console())
    return 1 if report.num_errors else 0


def show(report: DataReport, console: Console) -> None:
    """Print a report as tables."""
    if report.splits:
        _show_splits(report.splits, console)
        _show_labels(report.splits, console)
    for problem in sorted(report.problems, key=lambda problem: problem.severity):
        colour = "red" if problem.severity == "error" else "yellow"
        where = f" in {problem.split}" if problem.split else ""
        console.print(f"[{colour}]{problem.severity}[/] {problem.check}{where}: ", end="")
        names = f" ({', '.join(problem.examples)}{', ...' if problem.count > len(problem.examples) else ''})"
        console.print(problem.message + (names if problem.examples else ""), markup=False, highlight=False)
    warnings = len(report.problems) - report.num_errors
    console.print(f"{report.num_errors} errors, {warnings} warnings; {report.num_opened} images opened.")


def _show_splits(splits: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    table = Table("", *splits, title="Samples")
    for name in ("samples", "patients", "with_privileged", "with_roi"):
        table.add_row(name, *(f"{counts[name]:,}" for counts in splits.values()))
    for kind in ("strata", "reader"):
        flat = [_flat(counts[kind]) for counts in splits.values()]
        names = list(dict.fromkeys(name for counts in flat for name in counts))
        if names:
            table.add_section()
        for name in names:
            table.add_row(name, *(f"{counts[name]:,}" if name in counts else "" for counts in flat))
    console.print(table)


def _flat(counts: Mapping[str, Any]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for name, value in counts.items():
        rows |= (
            {f"{name}: {key}": number for key, number in value.items()} if isinstance(value, dict) else {name: value}
        )
    return rows


def _show_labels(splits: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    table = Table("Label", "Split", *(name.replace("_", " ") for name in LABEL_COUNTS), title="Labels")
    for label in next(iter(splits.values()))["labels"]:
        for split, counts in splits.items():
            table.add_row(label, split, *(f"{counts['labels'][label][name]:,}" for name in LABEL_COUNTS))
        table.add_section()
    console.print(table)


def _images(text: str) -> str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number or 'all' but got '{text}'")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "mmpkd check-data",
        description="Count a data set by split, label, view and region, and find what would break training or scores: "
        "shared patients, missing files, unreadable images, constant labels, regions outside their image.",
        epilog="Other flags change the data, for example --data.root=/data/mimic-cxr-jpg",
        allow_abbrev=False,
    )
    parser.add_argument("config", type=Path, help="an experiment, or a file of experiments/data/")
    parser.add_argument(
        "--images", type=_images, default="200", help="images to decode a split, or 'all' (default: 200)"
    )
    parser.add_argument("--num_workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    return parser
