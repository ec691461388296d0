"""Figures of the report."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data_modules.files.atomic import write_text
from mmpkd.statistics.effects import Effect

INK = "#1f2933"
ACCENT = "#0b6e99"
GREY = "#9aa5b1"
# distinct for colour-blind readers, and dark enough on white (Okabe & Ito 2008)
ARM_COLORS = ("#1f2933", "#0b6e99", "#b3530a", "#8a3b78", "#2f7d4f")
MARKERS = ("o", "s", "^", "D", "v")
# inches; narrow enough to be readable on a phone
WIDTH = 5.0


class Estimated(Protocol):
    """Values of a row of a forest plot; `Difference` has them."""

    @property
    def finding(self) -> str:
        """Name of the row."""

    @property
    def effect(self) -> Effect:
        """Estimate with its interval."""

    @property
    def num_rois(self) -> int:
        """Number of regions behind the estimate."""


@dataclass(frozen=True)
class Estimate:
    """A row of a forest plot.

    Attributes:
        name: Name of the row.
        effect: Estimate with its interval.
        is_overall: Whether it covers everything that the other rows are parts of.
    """

    name: str
    effect: Effect
    is_overall: bool = False


def forest_plot(differences: Sequence[Estimated], label: str) -> Figure:
    """Draw differences with 95 % intervals, one row each, the first one bold.

    Args:
        differences: Rows from top to bottom.
        label: Label of the axis.
    """
    rows = [
        Estimate(f"{own.finding} (n = {own.num_rois})", own.effect, is_overall=row == 0)
        for row, own in enumerate(differences)
    ]
    return forest(rows, label, f"Differences with 95 % intervals: {label}")


def forest(rows: Sequence[Estimate], label: str, title: str) -> Figure:
    """Draw estimates with 95 % intervals, one row each.

    Args:
        rows: Rows from top to bottom.
        label: Label of the axis.
        title: Text alternative of the figure, for screen readers.
    """
    # not with pyplot, which keeps all figures and may want a window
    figure = Figure(figsize=(WIDTH, 0.8 + 0.3 * len(rows)), layout="constrained", label=title)
    axes = figure.add_subplot()
    for position, row in enumerate(rows):
        color, width = (ACCENT, 3.0) if row.is_overall else (INK, 1.6)
        interval = row.effect.interval()
        # without an interval, only the estimate is drawn
        if np.isfinite([interval.low, interval.high]).all():
            ends = [interval.low, interval.high]
            axes.plot(ends, [position, position], color=color, linewidth=width, solid_capstyle="round")
        marker = "s" if row.is_overall else "o"
        axes.plot(row.effect.estimate, position, marker=marker, color=color, markersize=6)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.axvline(0, color=GREY, linewidth=1, zorder=0)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    # downwards, so that the first row is at the top
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def plain_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Label the axes and hide the upper and the right spine."""
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> str:
    """Write a figure as SVG and PNG, and return the SVG element for the page.

    Args:
        figure: The figure.
        path: Path of the files, without a suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    svg = as_svg(figure)
    write_text(path.with_name(f"{path.name}.svg"), svg)
    # without matplotlib's version, equal figures are equal files
    figure.savefig(path.with_name(f"{path.name}.png"), dpi=200, metadata={"Software": None})
    return inline(svg)


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG, with its label as the title. Equal figures give equal text, and letters stay text."""
    buffer = BytesIO()
    # without a fixed salt, matplotlib gives its identifiers random names
    with matplotlib.rc_context({"svg.hashsalt": "mmpkd", "svg.fonttype": "none"}):
        metadata = {"Date": None, "Title": figure.get_label() or None}
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    return buffer.getvalue().decode()


def inline(svg: str) -> str:
    """Return the SVG element without the XML header; its view box makes it scale with the page."""
    return svg[svg.index("<svg") :]


def with_own_ids(svg: str, prefix: str) -> str:
    """Make the identifiers of an SVG element unique, since no two elements of a page may have the same `id`.

    Args:
        svg: SVG element from `inline`.
        prefix: Prefix of each identifier that something refers to. The other identifiers are removed.
    """
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))

    def renamed(match: "re.Match[str]") -> str:
        return f' id="{prefix}-{match[1]}"' if match[1] in used else ""

    svg = re.sub(r'\sid="([^"]*)"', renamed, svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    title = re.search(r"<title>(.*?)</title>", svg, re.DOTALL)
    name = title[1].replace('"', "&quot;") if title else "Figure"
    return svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
