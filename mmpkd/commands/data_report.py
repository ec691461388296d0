"""Counts and problems of a data set, as tables in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from data_modules.checks import DataReport

LABEL_COUNTS = ("present", "absent", "not_stated", "roi")


def show(report: DataReport, console: Console) -> None:
    """Print a report to a console."""
    if report.splits:
        _show_splits(report.splits, console)
        _show_labels(report.splits, console)
    # errors first, since `error` sorts before `warning`
    for problem in sorted(report.problems, key=lambda problem: problem.severity):
        colour = "red" if problem.severity == "error" else "yellow"
        where = f" in {problem.split}" if problem.split else ""
        console.print(f"[{colour}]{problem.severity}[/] {problem.check}{where}: ", end="")
        names = f" ({', '.join(problem.examples)}{', ...' if problem.count > len(problem.examples) else ''})"
        file = f", for example '{problem.example_file}'" if problem.example_file else ""
        # file names may hold brackets, which rich would take for markup
        console.print(f"{problem.message}{names if problem.examples else ''}{file}", markup=False, highlight=False)
    warnings = len(report.problems) - report.num_errors
    counts = [_count(report.num_errors, "error"), _count(warnings, "warning")]
    console.print(f"{', '.join(counts)}; {_count(report.num_opened, 'image')} opened.")


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


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
