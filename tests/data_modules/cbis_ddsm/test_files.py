from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
import pytest

from data_modules.cbis_ddsm import files
from data_modules.cbis_ddsm.files import DicomFiles, ImageTree, Mask
from data_modules.images.image_file import ImageReadError, read_mask
from tests.data.cbis_ddsm.data import Form, Lesion, Pixels, series_path, write_dicom, write_images

LESION = Lesion("P_00001")


def _find(root: Path, lesion: Lesion = LESION) -> Mask:
    tree = ImageTree(root, DicomFiles(root))
    image = tree.images([[lesion.image_folder]])[0]
    assert image is not None
    return tree.masks([lesion.roi_folder], [image])[0]


def _check(mask: Mask, lesion: Lesion = LESION) -> None:
    assert mask.status == "same_size"
    assert mask.path is not None
    np.testing.assert_array_equal(read_mask(mask.path), lesion.mask)


@pytest.mark.parametrize("prefix", ["", "CBIS-DDSM", "manifest-ZkhPvrLo5216730872708713142/CBIS-DDSM"])
@pytest.mark.parametrize("form", ["classic", "descriptive"])
def test_delivered_trees(tmp_path: Path, prefix: str, form: Form) -> None:
    write_images(tmp_path / prefix, [LESION], form=form)
    _check(_find(tmp_path))


@pytest.mark.parametrize("mask_first", [True, False])
@pytest.mark.parametrize("bits", [8, 16])
def test_content_decides_not_the_name(tmp_path: Path, mask_first: bool, bits: Literal[8, 16]) -> None:
    write_images(tmp_path, [LESION], mask_first=mask_first, mask_bits=bits)
    _check(_find(tmp_path))


@pytest.mark.parametrize("rename", ["{stem}", "{stem}.IMA", "IM00{stem}.2"])
def test_files_are_found_whatever_their_names(tmp_path: Path, rename: str) -> None:
    write_images(tmp_path, [LESION])
    for path in list(tmp_path.rglob("*.dcm")):
        path.rename(path.with_name(rename.format(stem=path.stem)))
        (path.parent / "LICENSE").write_text("no image")
    _check(_find(tmp_path))


def test_series_description_does_not_decide(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION])
    for path in (tmp_path / LESION.roi_folder).rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        small = dataset.Rows < LESION.size[0]
        dataset.SeriesDescription = "ROI mask images" if small else "cropped images"
        dataset.save_as(path)
    _check(_find(tmp_path))


def test_mask_and_crop_in_series_of_their_own(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION])
    folder = tmp_path / LESION.roi_folder
    for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
        target = folder / "1.3.6.1" / f"1.3.6.{number}" / "000000.dcm"
        target.parent.mkdir(parents=True)
        path.rename(target)
    _check(_find(tmp_path))


def test_headers_suffice_where_sizes_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, [LESION])

    def refuse(path: Path) -> Pixels:
        raise AssertionError(path)

    monkeypatch.setattr(files, "read_dicom_pixels", refuse)
    assert _find(tmp_path).status == "same_size"


def test_decisions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, [LESION])
    tree = ImageTree(tmp_path, DicomFiles(tmp_path))
    images = [path for path in tree.images([[LESION.image_folder]]) if path]
    first = tree.masks([LESION.roi_folder], images)
    read: list[Path] = []
    header: Callable[[Path], object] = files._read_header

    def note(path: Path) -> object:
        read.append(path)
        return header(path)

    monkeypatch.setattr(files, "_read_header", note)
    assert tree.masks([LESION.roi_folder], images) == first
    assert read == images


def _grey(size: tuple[int, int]) -> Pixels:
    return np.arange(size[0] * size[1], dtype=np.uint16).reshape(size)


def test_many_levels_at_full_size_are_no_mask(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION], masks={LESION.roi_folder: _grey(LESION.size)})
    crop = next(p for p in (tmp_path / LESION.roi_folder).rglob("*.dcm") if pydicom.dcmread(p).Rows < LESION.size[0])
    crop.unlink()
    assert _find(tmp_path) == Mask("missing")


def test_header_decision_is_checked_when_the_mask_is_read(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION], masks={LESION.roi_folder: _grey(LESION.size)})
    mask = _find(tmp_path)
    assert mask.path is not None
    with pytest.raises(ImageReadError, match="two grey levels"):
        read_mask(mask.path)


@pytest.mark.parametrize(
    ("size", "status"),
    [((120, 80), "rescaled"), ((30, 20), "rescaled"), ((119, 80), "rescaled"), ((120, 60), "mismatched")],
)
def test_mask_of_another_size(tmp_path: Path, size: tuple[int, int], status: str) -> None:
    pixels = np.zeros(size, dtype=np.uint8)
    pixels[5:9, 3:8] = 255
    write_images(tmp_path, [LESION], masks={LESION.roi_folder: pixels})
    mask = _find(tmp_path)
    assert mask.status == status
    assert (mask.path is not None) == (status == "rescaled")


@pytest.mark.parametrize(
    ("size", "status"), [((601, 400), "rescaled"), ((602, 400), "mismatched"), ((606, 406), "mismatched")]
)
def test_a_mask_that_is_nearly_its_image_rescaled_is_not(tmp_path: Path, size: tuple[int, int], status: str) -> None:
    lesion = Lesion("P_00001", size=(600, 400))
    pixels = np.zeros(size, dtype=np.uint8)
    pixels[5:9, 3:8] = 255
    write_images(tmp_path, [lesion], masks={lesion.roi_folder: pixels})
    assert _find(tmp_path, lesion).status == status


def test_empty_mask_is_a_mask(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION], masks={LESION.roi_folder: np.zeros((30, 20), dtype=np.uint8)})
    assert _find(tmp_path).status == "rescaled"


def test_no_file_or_no_mask_is_missing(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION])
    for path in (tmp_path / LESION.roi_folder).rglob("*.dcm"):
        path.unlink()
    assert _find(tmp_path) == Mask("missing")


def test_several_masks_are_ambiguous(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION])
    other = np.zeros(LESION.size, dtype=np.uint8)
    other[2:4, 2:4] = 255
    write_dicom(tmp_path / LESION.roi_folder / "a" / "b" / "1-3.dcm", other)
    assert _find(tmp_path) == Mask("ambiguous")


def test_a_tree_that_was_downloaded_twice(tmp_path: Path) -> None:
    write_images(tmp_path / "manifest-1" / "CBIS-DDSM", [LESION])
    for path in (tmp_path / "manifest-1").rglob("*.dcm"):
        copy = tmp_path / "manifest-2" / path.relative_to(tmp_path / "manifest-1")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    _check(_find(tmp_path))


def test_full_image_is_found_beside_a_stray_mask(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION])
    folder = tmp_path / LESION.image_folder
    image = next(folder.rglob("*.dcm"))
    write_dicom(folder / series_path("classic", "") / "1-0.dcm", LESION.mask.astype(np.uint8))
    assert ImageTree(tmp_path, DicomFiles(tmp_path)).images([[LESION.image_folder]]) == [image]
    write_dicom(folder / series_path("classic", "") / "1-9.dcm", _grey((50, 40)))
    with pytest.raises(ValueError, match=r"one full image.*2 files"):
        ImageTree(tmp_path, DicomFiles(tmp_path)).images([[LESION.image_folder]])


def test_image_of_the_other_kind_serves_too(tmp_path: Path) -> None:
    calc = Lesion("P_00001", kind="calc")
    write_images(tmp_path, [calc])
    found = ImageTree(tmp_path, DicomFiles(tmp_path)).images(
        [[LESION.image_folder, calc.image_folder], ["Mass-Test_P_00009_LEFT_CC"]]
    )
    assert found[0] is not None
    assert calc.image_folder in found[0].parts
    assert found[1] is None


def test_damaged_header_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path, [LESION])
    next((tmp_path / LESION.roi_folder).rglob("*.dcm")).write_bytes(b"not a DICOM file")
    with pytest.raises(ImageReadError, match=r"-[12]\.dcm' cannot be read: the header"):
        _find(tmp_path)


def test_folder_without_images_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Mass-Training_P_00001_LEFT_CC.*load_images"):
        ImageTree(tmp_path, DicomFiles(tmp_path))
