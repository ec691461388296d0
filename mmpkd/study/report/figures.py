"""Figures of the report."""

from collections.abc import Sequence
from io import BytesIO

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mmpkd.study.analysis.difference import Difference

INK = "#1f2933"
ACCENT = "#0b6e99"


def forest_plot(differences: Sequence[Difference], label: str) -> Figure:
    """Draw estimates with 95 % intervals, one row each, the first one bold.

    Args:
        differences: Rows from top to bottom.
        label: Label of the axis.
    """
    figure = Figure(figsize=(7.2, 0.9 + 0.42 * len(differences)), layout="constrained")
    axes = figure.add_subplot()
    for row, difference in enumerate(differences):
        color, width = (ACCENT, 3.0) if row == 0 else (INK, 1.6)
        interval = difference.interval
        if np.isfinite([interval.low, interval.high]).all():
            axes.plot([interval.low, interval.high], [row, row], color=color, linewidth=width, solid_capstyle="round")
        axes.plot(difference.effect.estimate, row, marker="s" if row == 0 else "o", color=color, markersize=7)
    axes.axvline(0, color="#9aa5b1", linewidth=1, zorder=0)
    names = [f"{d.finding} (n = {d.num_rois})" for d in differences]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG; equal figures give equal text."""
    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "mmpkd"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue().decode()


def inline(svg: str) -> str:
    """Return the element alone; it has a view box, so that it scales with the page."""
    return svg[svg.index("<svg") :]
