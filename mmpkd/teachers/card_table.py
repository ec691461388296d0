"""The cards of several teachers side by side: `python -m mmpkd.teachers.card_table CARD.json...`."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_modules.files.json_file import read_json
from mmpkd.teachers.card_scores import SCORES, Estimate


def card_table(paths: Sequence[Path]) -> Table:
    """Return one row for each card and label.

    Args:
        paths: Cards that `mmpkd teacher-card --json` wrote. A card is called by its folder.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a teacher card, or one of an older version.
    """
    table = Table(
        "Teacher", "Split", "Samples", "Patients", "Label", "AUROC", "AUPRC", "ECE", "Brier", title="Teacher cards"
    )
    for path in paths:
        card = _read(path)
        who = (path.absolute().parent.name, card["split"], f"{card['num_samples']:,}", f"{card['num_patients']:,}")
        for label, scores in card["scores"].items():
            table.add_row(*map(escape, (*who, label, *map(str, _estimates(scores, path)))))
    return table


def _read(path: Path) -> dict[str, Any]:
    card = read_json(path)
    missing = [name for name in ("split", "num_samples", "num_patients", "scores") if name not in card]
    if missing:
        raise ValueError(f"Expected a teacher card in '{path}' but it has no {', '.join(missing)}.")
    return card


def _estimates(scores: dict[str, dict[str, float | None]], path: Path) -> list[Estimate]:
    """Return the scores of a label, in the order of `SCORES`."""
    try:
        return [_estimate(scores[score]) for score in SCORES]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected {', '.join(SCORES)} with intervals for each label in '{path}' but it has others. Write the card again."
        ) from error


def _estimate(entry: dict[str, float | None]) -> Estimate:
    """Return a score; JSON has `null` in place of NaN."""
    return Estimate(**{name: math.nan if value is None else value for name, value in entry.items()})


def main(argv: Sequence[str] | None = None) -> None:
    """Print the cards."""
    parser = argparse.ArgumentParser(
        "python -m mmpkd.teachers.card_table", description="Print teacher cards side by side."
    )
    parser.add_argument("cards", type=Path, nargs="+", help="files that `mmpkd teacher-card --json` wrote")
    try:
        table = card_table(parser.parse_args(argv).cards)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    # a pipe has no width, and a table that is cut says less than one that is wide
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
