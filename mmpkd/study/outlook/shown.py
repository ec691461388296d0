"""An outlook as tables in the terminal and as a figure."""

from collections.abc import Sequence
from io import BytesIO

import matplotlib
from matplotlib.figure import Figure
from rich.console import Group
from rich.table import Table

from mmpkd.study.outlook.outlook import MOST_SEEDS, PATIENTS, SEEDS, Design, Outlook

_COLORS = ("#9aa5b1", "#0b6e99", "#c77d0a", "#1f2933")


def shown(outlook: Outlook) -> Group:
    """Return the tables of an outlook."""
    parts: list[Table | str] = [_by_size(outlook), _at_hand(outlook)]
    if outlook.difference is not None:
        parts.append(_needed(outlook))
    left_out = (
        f" Left out because a run does not localize: {outlook.num_collapsed} seeds." if outlook.num_collapsed else ""
    )
    size = f"{outlook.pilot_seeds} seeds and {outlook.pilot_patients} patients"
    parts.append(
        f"Estimated from {size}, with the upper 80 % limits of their variances: about one plan in five is still too small, and "
        f"one in three where hits are rare. It holds for runs that localize.{left_out}"
    )
    return Group(*parts)


def _by_size(outlook: Outlook) -> Table:
    table = Table(title="Difference shown with a power of 80 %", title_justify="left")
    table.add_column("seeds", justify="right")
    for patients in PATIENTS:
        table.add_column(f"{_patients(outlook, patients)} patients", justify="right")
    for seeds in SEEDS:
        own = [design for design in outlook.designs if design.seeds == seeds]
        table.add_row(str(seeds), *(f"{design.detectable:.3f}" for design in own))
    return table


def _at_hand(outlook: Outlook) -> Table:
    table = Table(title="The study at hand", title_justify="left")
    for name in ("", "shown with 80 % power", "from the pilot's own variances (half are too small)"):
        table.add_column(name, justify="right" if name else "left")
    rows: Sequence[tuple[str, Design]] = (
        (f"{outlook.at_hand.seeds} seeds, {outlook.pilot_patients} patients", outlook.at_hand),
        ("one more seed", outlook.one_more_seed),
        ("10 % more patients", outlook.tenth_more_patients),
        ("at best, with infinitely many seeds", outlook.endless_seeds),
        ("at best, with infinitely many patients", outlook.endless_patients),
    )
    for name, design in rows:
        table.add_row(name, f"{design.detectable:.3f}", f"{design.as_it_is:.3f}")
    return table


def _needed(outlook: Outlook) -> Table:
    table = Table(title=f"To show a difference of {outlook.difference:g}", title_justify="left")
    table.add_column("patients", justify="right")
    table.add_column("seeds", justify="right")
    for own in outlook.needed:
        seeds = f"more than {MOST_SEEDS}" if own.seeds is None else str(own.seeds)
        table.add_row(_patients(outlook, own.patients), seeds)
    return table


def _patients(outlook: Outlook, multiple: float) -> str:
    return f"{multiple * outlook.pilot_patients:.0f}"


def figure_of(outlook: Outlook) -> str:
    """Return a figure of the differences by seeds and patients, as SVG; equal outlooks give equal text."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for patients, color in zip(PATIENTS, _COLORS, strict=True):
        own = [design for design in outlook.designs if design.patients == patients]
        values = [design.detectable for design in own]
        axes.plot(SEEDS, values, marker="o", color=color, label=f"{_patients(outlook, patients)} patients")
    axes.plot(
        outlook.at_hand.seeds, outlook.at_hand.detectable, marker="s", markersize=10, color="#1f2933", fillstyle="none"
    )
    if outlook.difference is not None:
        axes.axhline(outlook.difference, color="#52606d", linestyle=":")
    axes.set_xlabel("seeds")
    axes.set_ylabel("difference shown with 80 % power")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "mmpkd"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": "Difference shown with a power of 80 %"})
    return buffer.getvalue().decode()
