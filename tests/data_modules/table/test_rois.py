"""Regions of a table: boxes, ellipses, circles and masks, and what is refused."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_modules.images.mask_regions import MaskRegion
from data_modules.images.regions import BoxRegion, EllipseRegion, Roi
from data_modules.table.rois import RoiColumns, read_rois

CIRCLE = ("cx", "cy", "r")
ELLIPSE = ("x0", "y0", "x1", "y1")


def read(
    columns: RoiColumns, cells: Mapping[str, Sequence[str | None]], root: Path = Path()
) -> dict[str, tuple[Roi, ...]]:
    """Return the regions of samples a, b, c, ..., one a row."""
    n = len(next(iter(cells.values())))
    frame = pd.DataFrame({"id": list("abcdef")[:n], **cells}, index=pd.RangeIndex(2, n + 2, name="row"), dtype=object)
    return read_rois(columns, frame, "id", ("ill",), root, "t.csv")


def test_circles_and_ellipses_are_inscribed_in_their_boxes() -> None:
    columns = RoiColumns("ill", circle_columns=CIRCLE, ellipse_columns=ELLIPSE)
    rows = [["8", "6.5", "3", *[None] * 4], [*[None] * 3, "1", "2", "9", "4"]]
    found = read(columns, dict(zip((*CIRCLE, *ELLIPSE), zip(*rows, strict=True), strict=True)))
    assert found == {
        "a": (Roi(0, (EllipseRegion((5, 3.5, 11, 9.5)),)),),
        "b": (Roi(0, (EllipseRegion((1, 2, 9, 4)),)),),
    }
    (circle,) = found["a"][0].regions
    centres = np.linspace(0.5, 15.5, 16, dtype=np.float64)
    x, y = np.meshgrid(centres, centres)
    drawn = circle.draw(centres, centres, (16, 16))
    np.testing.assert_array_equal(drawn, (x - 8) ** 2 + (y - 6.5) ** 2 <= 9)


def test_shapes_of_one_sample_are_joined() -> None:
    columns = RoiColumns("ill", box_columns=ELLIPSE, box_format="xyxy", circle_columns=CIRCLE)
    cells = {"cx": ["8"], "cy": ["8"], "r": ["1"], "x0": ["0"], "y0": ["0"], "x1": ["2"], "y1": ["2"]}
    found = read(columns, cells)
    assert found["a"][0].regions == (BoxRegion((0, 0, 2, 2)), EllipseRegion((7, 7, 9, 9)))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (
            {"cx": ["8", "8"], "cy": ["8", None], "r": ["1", "1"]},
            r"a number in column 'cy'.* blank \(row 3\)",
        ),
        ({"cx": ["8", "8"], "cy": ["8", "8"], "r": ["1", "big"]}, r"data\.rois\.circle_columns.* got 'big' \(row 3\)"),
        (
            {"cx": ["8", "8"], "cy": ["8", "8"], "r": ["1", "-1"]},
            r"radius of 0 or more .*data\.rois\.circle_columns.* row 3",
        ),
    ],
)
def test_shapes_that_are_not_stated_by_numbers_are_refused(cells: dict[str, list[str | None]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(RoiColumns("ill", circle_columns=CIRCLE), cells)


def test_a_region_needs_its_label_in_its_row() -> None:
    columns = RoiColumns(None, "shows", circle_columns=CIRCLE)
    with pytest.raises(ValueError, match=r"label of every region in column 'shows'.* blank in row 3"):
        read(columns, {"shows": ["ill", None], "cx": ["8", "8"], "cy": ["8", "8"], "r": ["1", "1"]})
    without = read(columns, {"shows": ["ill", None], "cx": ["8", None], "cy": ["8", None], "r": ["1", None]})
    assert list(without) == ["a"]


def test_blank_cells_name_no_mask(tmp_path: Path) -> None:
    for name in ("nan.png", "p1_2.png"):
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / name)
    cells = {"who": ["p1", None, "p1"], "n": ["2", "1", None]}
    found = read(RoiColumns("ill", mask_pattern="{who}_{n}.png"), cells, tmp_path)
    assert found == {"a": (Roi(0, (MaskRegion(tmp_path / "p1_2.png"),)),)}
    assert read(RoiColumns("ill", mask_columns=("mask",)), {"mask": [None, None]}, tmp_path) == {}


@pytest.mark.parametrize("pattern", ["masks/{id", "masks/{}.png", "{id:03d}.png", "{id!r}.png", "a.png"])
def test_a_pattern_holds_names_of_columns_only(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"Expected names of columns .*data\.rois\.mask_pattern"):
        RoiColumns("ill", mask_pattern=pattern)


def test_columns_with_dots_and_brackets_may_stand_in_the_braces(tmp_path: Path) -> None:
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / "{7}.png")
    assert list(read(RoiColumns("ill", mask_pattern="{{{a.b}}}.png"), {"a.b": ["7"]}, tmp_path)) == ["a"]
