"""Print how often the statistics of a study are right.

Run: python -m mmpkd.statistics.simulation [--tables 2000] [--only NAME ...]

Coverage is how often the 95 % interval covers the true difference. False equivalence is how often equivalence is claimed although
the true difference is the margin.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mmpkd.statistics.simulation.claims import family_rows, finding_rows, look_rows, promise_rows
from mmpkd.statistics.simulation.intervals import collapse_rows, interval_rows, one_seed_rows, sum_rows
from mmpkd.statistics.simulation.recognised import GUARDS, recognition_rows

Rows = Callable[[int], Iterable[Sequence[object]]]
_PAIR = ("coverage", "false equivalence")
_BEYOND = tuple(f"beyond {100 * own:.0f} %" for own in GUARDS[1:])


@dataclass(frozen=True)
class Section:
    """A table of the simulation.

    Attributes:
        name: Name of the table.
        columns: Names of the columns.
        rows: Function that yields the rows, given the number of simulated tables.
    """

    name: str
    columns: tuple[str, ...]
    rows: Rows


SECTIONS = (
    Section(
        "intervals",
        (
            "world",
            "seeds",
            "patients",
            *(f"{own}: {what}" for own in ("patients", "findings", "regions") for what in _PAIR),
        ),
        interval_rows,
    ),
    Section("one seed", ("patients", "coverage: these two runs", "coverage: the method"), one_seed_rows),
    Section(
        "collapse",
        ("runs that collapse", "seeds", "a run collapsed", "all runs: coverage", "three pairs localize", *_PAIR),
        collapse_rows,
    ),
    Section("sums", ("two domains", "false claims"), sum_rows),
    Section("looks", ("world", "5 to 10 seeds", "5 and 10 seeds", "5 to 10 without correction"), look_rows),
    Section(
        "families",
        ("truth", "gate: false claims", "gate: power", "Holm over all: false claims", "Holm over all: power"),
        family_rows,
    ),
    Section("findings", ("world", "said to differ"), finding_rows),
    Section(
        "recognition", ("world", "difference", "left", "claims: difference", "claims: left", *_BEYOND), recognition_rows
    ),
    Section(
        "planning",
        ("world", "pilot", "study", "median power", "plans too small", "median power without upper limits"),
        promise_rows,
    ),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    names = [section.name for section in SECTIONS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="tables to print")
    arguments = parser.parse_args(argv)
    for section in SECTIONS:
        if section.name in arguments.only:
            _print(section, arguments.tables)
    error = np.sqrt(0.05 * 0.95 / arguments.tables)
    sys.stdout.write(f"\n{arguments.tables} tables; Monte Carlo standard error of a rate of .05: {error:.3f}.\n")


def _print(section: Section, num_tables: int) -> None:
    sys.stdout.write(f"\n{section.name}\n\n")
    _row(section.columns)
    _row(["---"] * len(section.columns))
    for row in section.rows(num_tables):
        _row(row)


def _row(cells: Sequence[object]) -> None:
    sys.stdout.write(f"| {' | '.join(map(_shown, cells))} |\n")
    sys.stdout.flush()


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return "-" if np.isnan(cell) else f"{cell:.3f}"
    return str(cell)


if __name__ == "__main__":
    main()
