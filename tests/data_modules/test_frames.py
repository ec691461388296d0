from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules.chest_sets import CheXlocalize
from data_modules.frames import check_frames, frames_by_image, read_annotation_size
from data_modules.images.geometry import Size
from data_modules.images.image_file import ImageReadError
from data_modules.images.mask_regions import MaskRegion
from data_modules.images.regions import BoxRegion, Roi
from data_modules.mimic_cxr.ms_cxr import read_ms_cxr
from data_modules.mimic_cxr.reflacx import read_reflacx
from data_modules.split import Split
from tests.data.chest_sets.data import write_chexlocalize
from tests.tiny import write_tiny

BOX = BoxRegion((0, 0, 5, 5))


@pytest.mark.parametrize("columns", ["image_id,height,width", "width,image_id,height", "image_id,dim0,dim1,other"])
def test_sizes_of_annotated_images_are_height_and_width(tmp_path: Path, columns: str) -> None:
    cells = {"image_id": "001", "height": "60", "width": "40", "dim0": "60", "dim1": "40", "other": "x"}
    row = ",".join(cells[name] for name in columns.split(","))
    path = tmp_path / "sizes.csv"
    path.write_text("\n".join([columns, row, row]))  # a table of boxes repeats them
    assert read_annotation_size(path) == {"001": (60, 40)}


def test_tables_without_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text("image_id,rows,columns\na,1,2\n")
    with pytest.raises(ValueError, match=r"There are: image_id, rows, columns"):
        read_annotation_size(path)
    path.write_text("image_id,height,width\n a ,1,2\n,1,2\n")
    with pytest.raises(ValueError, match=r"column 'image_id' of .*sizes.csv' but 1 cell is blank \(row 3\)"):
        read_annotation_size(path)
    path.write_text("image_id,height,width\n a ,1,2\n")
    assert read_annotation_size(path) == {"a": (1, 2)}
    for height in ("", "0", "-3", "6.5", "tall", "inf"):
        with pytest.raises(ValueError, match="in whole pixels but those of 'a'"):
            frames_by_image(["a"], [height], [40], "rows")
    with pytest.raises(ValueError, match=r"one size of each image but those of 'a' state \(60, 40\) and \(40, 60\)"):
        frames_by_image(["a", "b", "a"], [60, 1, 40], ["40.0", 1, 60], "rows")


def test_every_reader_refuses_tables_that_contradict_themselves(tmp_path: Path) -> None:
    path = tmp_path / "MS_CXR_Local_Alignment_v1.0.0.csv"
    path.write_text(
        "dicom_id,category_name,x,y,w,h,image_width,image_height\na,Edema,0,0,9,9,40,60\na,Edema,0,0,9,9,60,40\n"
    )
    with pytest.raises(ValueError, match="rows of MS-CXR to state one size"):
        read_ms_cxr(path, ["Edema"])
    reflacx = tmp_path / "reflacx"
    (reflacx / "main_data").mkdir(parents=True)
    (reflacx / "metadata_phase_1.csv").write_text("id,image,image_size_x,image_size_y\nr1,a.dcm,40,60\nr2,a.dcm,40,\n")
    with pytest.raises(ValueError, match="rows of REFLACX to state the height"):
        read_reflacx(reflacx / "main_data", ["Edema"], 3)
    write_chexlocalize(tmp_path / "chexlocalize", "test")
    path = tmp_path / "chexlocalize/CheXlocalize/gt_annotations_test.json"
    path.write_text(path.read_text().replace('"img_size": [40, 80], ', ""))
    with pytest.raises(ValueError, match="Expected 'img_size' of each image"):
        CheXlocalize(tmp_path / "chexlocalize").read()


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Twelve images of 32 x 32."""
    return write_tiny(tmp_path, {"val": 12})["val"]


def mask(folder: Path, size: Size) -> MaskRegion:
    path = folder / f"{size}.png"
    Image.fromarray(np.zeros(size, np.uint8)).save(path)
    return MaskRegion(path)


def test_copies_that_regions_cannot_be_placed_on_are_refused_before_anything_long(split: Split, tmp_path: Path) -> None:
    fits = [Roi(0, (BOX,)), Roi(0, (BOX,), (64, 64)), Roi(0, (BOX,), (128, 130)), Roi(0, (BOX,), (40, 90), True)]
    fits += [Roi(0, (mask(tmp_path, size),)) for size in ((32, 32), (96, 95))]
    fits.append(Roi(0, (mask(tmp_path, (9, 18)),), (18, 36), True))
    for roi in fits:
        check_frames(replace(split, rois={3: (roi,)}))
    for roi in (Roi(0, (BOX,), (64, 70)), Roi(0, (BOX,), (34, 32)), Roi(0, (mask(tmp_path, (32, 30)),))):
        with pytest.raises(ImageReadError, match="cropped or squeezed copy"):
            check_frames(replace(split, rois={3: (fits[0], roi)}))


def test_a_handful_of_images_is_looked_at(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr("data_modules.frames.NUM_CHECKED", 3)

    def note(path: Path) -> Size:
        read.append(path)
        return (32, 32)

    monkeypatch.setattr("data_modules.frames.read_size", note)
    check_frames(replace(split, rois=dict.fromkeys(range(12), (Roi(0, (BOX,), (64, 64)),))))
    assert read == [split.image[row] for row in (0, 6, 11)]
    split.image[0].unlink()  # missing files are named elsewhere
    check_frames(replace(split, rois={0: (Roi(0, (BOX,), (64, 64)),)}))
    assert len(read) == 3
