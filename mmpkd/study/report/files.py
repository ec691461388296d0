"""The files beside the page of a report: every number on the page, ready to compute with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data_modules.files.atomic import write_text
from mmpkd.records.tables import write_table
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.analysis.scores import results_table
from mmpkd.study.report.sections.tables import Cell, Grid


@dataclass(frozen=True)
class FileLink:
    """A file beside the page.

    Attributes:
        path: Path relative to the page.
        content: Description of its content.
    """

    path: str
    content: str


def file_links(folder: Path, has_rois: bool) -> tuple[FileLink, ...]:
    """Return links to the files beside the page of a report.

    Args:
        folder: Folder of the report, with its figures.
        has_rois: Whether a run has regions of interest.
    """
    links = [FileLink("results.csv", "every score of every run")]
    if has_rois:
        links.append(FileLink("roi.parquet", "every region of interest"))
    links.append(FileLink("arms.tex", "table of arms for LaTeX"))
    if (folder / "figures").is_dir():
        links.append(FileLink("figures/", "figures as SVG and PNG"))
    return tuple(links)


def write_files(folder: Path, tables: Sequence[RunTables], arms: Sequence[Grid]) -> None:
    """Write `results.csv`, `roi.parquet` and `arms.tex`.

    Args:
        folder: Folder of the report.
        tables: All finished runs.
        arms: Tables of arms.
    """
    write_text(folder / "results.csv", results_table(tables).to_csv(index=False))
    frames = [
        table.rois.assign(arm=table.run.arm.name, seed=table.run.seed, test_set=table.run.test_set)
        for table in tables
        if table.rois is not None
    ]
    if frames:
        write_table(pd.concat(frames, ignore_index=True), folder / "roi.parquet")
    write_text(folder / "arms.tex", "\n".join(_latex(grid) for grid in arms))


def _latex(grid: Grid) -> str:
    """Return a grid as a LaTeX table, which needs the package booktabs."""
    frame = pd.DataFrame(
        [map(_latex_cell, row.cells) for row in grid.rows],
        index=[row.name.replace("_", r"\_") for row in grid.rows],
        columns=list(grid.columns),
    )
    # escaped already: of all special characters, names of arms can only have _
    return frame.to_latex(escape=False, column_format="l" + "r" * len(grid.columns))


def _latex_cell(cell: Cell) -> str:
    spread = "" if cell.sd is None else rf" $\pm$ {cell.sd:.3f}"
    return "" if pd.isna(cell.mean) else f"{cell.mean:.3f}{spread}"
