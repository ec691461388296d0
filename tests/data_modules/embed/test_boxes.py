from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.embed.boxes import box_column, read_boxes
from data_modules.embed.files import image_files, relative_paths
from data_modules.embed.mirroring import were_mirrored
from data_modules.images.regions import BoxRegion
from tests.data.cbis_ddsm.data import write_dicom


@given(
    st.lists(st.tuples(*[st.integers(0, 4000)] * 4), max_size=3),
    st.sampled_from(["{}", "[{}]", "[[{}]]", "({},)", "(({},),)"]),
    st.sampled_from(["[]", "()"]),
)
def test_boxes_are_read_however_they_are_nested(
    boxes: list[tuple[int, int, int, int]], around: str, brackets: str
) -> None:
    inner = ", ".join(f"{brackets[0]}{', '.join(map(str, box))}{brackets[1]}" for box in boxes)
    expected = tuple(BoxRegion((x0, y0, x1, y1)) for y0, x0, y1, x1 in boxes)
    assert read_boxes(around.format(inner)) == expected
    larger = tuple(BoxRegion((x0, y0, x1 + 1, y1 + 1)) for y0, x0, y1, x1 in boxes)
    assert read_boxes(around.format(inner), inclusive=True) == larger


def test_blank_cells_have_no_box_and_others_are_refused() -> None:
    assert read_boxes("") == read_boxes(float("nan")) == read_boxes(None) == ()
    for wrong in ("[1, 2, 3]", "[[1, 2, 3, 4, 5]]", "[1, 2, 3, nan]", "unknown"):
        with pytest.raises(ValueError, match="ymin, xmin, ymax, xmax"):
            read_boxes(wrong)


def test_columns_that_name_their_frame_need_no_setting() -> None:
    both = ["ROI_coords", "DCM_ROI_coords", "PNG_ROI_coords"]
    assert box_column(both, None, "dicom") == ("DCM_ROI_coords", "dicom")
    assert box_column(both, "dicom", "png") == ("PNG_ROI_coords", "png")
    assert box_column(["ROI_coords"], "png", "dicom") == ("ROI_coords", "png")
    with pytest.raises(ValueError, match=r"roi_frame to say"):
        box_column(["ROI_coords"], None, "dicom")
    with pytest.raises(ValueError, match="found neither"):
        box_column(["num_roi"], "png", "dicom")


def test_what_tells_that_an_image_was_mirrored(tmp_path: Path) -> None:
    rows = [
        # PNG_flipped, PatientOrientation of the table, of the header, side, view, expected
        ("True", "['A', 'L']", None, "L", "CC", True),
        ("0", "['P', 'L']", None, "R", "CC", False),
        (None, "['P', 'FL']", None, "L", "MLO", True),
        (None, "A\\R", None, "R", "CC", False),
        (None, None, ["P", "L"], "L", "ML", True),
        (None, None, ["A", "FR"], "R", "MLO", False),
        (None, "['P', 'L']", None, "R", "XCCL", False),  # views that were never mirrored
        (None, None, None, "R", "CC", True),
        (None, None, None, "L", "CC", False),
        (None, None, None, "R", "LM", False),
    ]
    files = []
    for number, row in enumerate(rows):
        files.append(tmp_path / f"{number}.dcm")
        write_dicom(files[-1], np.zeros((4, 4), np.uint8), orientation=row[2])
    names = ["PNG_flipped", "PatientOrientation", "header", "laterality", "view", "expected"]
    images = pd.DataFrame(rows, columns=names)
    mirrored, num_by_side = were_mirrored(images, files)
    assert mirrored.tolist() == images["expected"].tolist()
    assert num_by_side == 3
    # a table that holds neither column, beside files that are no DICOM: only the side tells
    few, num_by_side = were_mirrored(images[["laterality", "view"]], [path.with_suffix(".png") for path in files])
    right = images["laterality"].eq("R") & images["view"].isin(["CC", "ML", "MLO"])
    assert few.tolist() == right.tolist()
    assert num_by_side == len(rows)


def test_a_header_of_any_kind_tells_the_side_or_leaves_it_to_the_table(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    write_dicom(path, np.zeros((4, 4), np.uint8), orientation=["P", "L"])
    images = pd.DataFrame({"laterality": ["L"], "view": ["CC"]})
    sound = path.read_bytes()
    path.write_bytes(sound[132:])  # without a preamble
    assert were_mirrored(images, [path])[0].tolist() == [True]
    place = sound.index(b"CS\4\0P\\L ")
    # numbers, half a number, an empty sequence, and the end of the file
    for element in (b"US\4\0\1\0\2\0", b"FD\4\0\1\0\2\0", b"SQ\0\0\0\0\0\0", b""):
        path.write_bytes(sound[:place] + element + (sound[place + len(element) :] if element else b""))
        mirrored, num_by_side = were_mirrored(images, [path])
        assert (mirrored.tolist(), num_by_side) == ([False], 1)


@pytest.mark.parametrize("folder", ["images", "."])
@pytest.mark.parametrize(
    "beginning", ["/mnt/NAS2/mammo/anon_dicom/", "/mnt/NAS3/mammo/anon_dicom/", "images/", "s3://bucket/images/", ""]
)
def test_folders_and_paths_of_all_releases(tmp_path: Path, folder: str, beginning: str) -> None:
    path = tmp_path / folder / "cohort_2/1/2/a.dcm"
    path.parent.mkdir(parents=True)
    relative = relative_paths([f"{beginning}cohort_2/1/2/a.dcm"], None)
    assert image_files(tmp_path, relative, "dicom") == [path]
    assert image_files(tmp_path, relative, "png") == [path.with_suffix(".png")]
    path.with_name("a_conv.png").touch()
    assert image_files(tmp_path, relative, "png") == [path.with_name("a_conv.png")]


def test_other_paths_need_a_prefix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Set data\.image_prefix"):
        relative_paths(["/data/1/2/a.dcm"], None)
    assert relative_paths(["/data/1/2/a.dcm"], "/data") == [Path("1/2/a.dcm")]
