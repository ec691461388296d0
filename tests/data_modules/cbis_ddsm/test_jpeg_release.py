"""The JPEG copy of the data set: files by series, told apart by content, masks with ringing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules.cbis_ddsm import CBISDDSMDataModule
from data_modules.images.image_file import read_mask
from data_modules.images.mask_regions import MaskRegion
from tests.data.cbis_ddsm.data import Lesion, example, series_uid, write_jpeg_release, write_tables

# masks of 8 pixels a side are mostly edge: these are large enough for nearly all of their pixels to be off it
LESIONS = [
    *(Lesion(f"P_{i:05d}", ("MALIGNANT", "BENIGN")[i % 2], size=(240, 160), box=(80, 30, 120, 70)) for i in range(12)),
    Lesion("P_00100", "MALIGNANT", subset="test", size=(240, 160), box=(80, 30, 120, 70)),
    Lesion("P_00100", subset="test", number=2, size=(240, 160), box=(140, 20, 180, 50)),
    Lesion("P_00101", kind="calc", subset="test", size=(240, 160), box=(60, 20, 100, 60)),
    Lesion("P_00102", kind="calc", size=(240, 160), box=(60, 20, 100, 60)),
]


@pytest.mark.parametrize("split_series", [False, True])
def test_images_and_masks_are_found_by_series_and_told_apart_by_content(tmp_path: Path, split_series: bool) -> None:
    write_jpeg_release(tmp_path, LESIONS, split_series)
    test = CBISDDSMDataModule(tmp_path, abnormality="both", val_fraction=0.3).splits["test"]
    assert [path.parent.name for path in test.image] == [
        series_uid("Mass-Test_P_00100_LEFT_CC"),
        series_uid("Calc-Test_P_00101_LEFT_CC"),
    ]
    (roi,) = test.rois[0]
    for region, lesion in zip(roi.regions, LESIONS[12:14], strict=True):
        assert isinstance(region, MaskRegion)
        found = read_mask(region.path)
        assert len(np.unique(np.asarray(Image.open(region.path)))) > 2  # the file itself is not binary
        np.testing.assert_array_equal(found, lesion.mask)
    assert test.counts["mask_same_size"] == 3


def test_regions_lie_on_the_lesions(tmp_path: Path) -> None:
    write_jpeg_release(tmp_path, LESIONS)
    data = CBISDDSMDataModule(tmp_path, val_fraction=0.3, image_size=80, mean=0.0, std=1.0)
    batch = next(iter(data.test_dataloader()))
    lesion = batch["image"][0, 0] > 0.75
    mask = batch["roi_mask"][0]
    assert (lesion ^ mask).sum() <= 0.1 * mask.sum()


def test_paths_are_needed(tmp_path: Path) -> None:
    write_tables(tmp_path, example())
    (tmp_path / "jpeg").mkdir()
    for path in tmp_path.glob("*.csv"):
        lines = path.read_bytes().decode().replace('\n"', '"').split("\r\n")
        path.write_text("\n".join(",".join(line.split(",")[:11]) for line in lines))
    with pytest.raises(ValueError, match="third component"):
        _ = CBISDDSMDataModule(tmp_path).splits


def test_the_release_is_read_from_above(tmp_path: Path) -> None:
    write_jpeg_release(tmp_path / "a" / "kaggle", LESIONS)
    (tmp_path / "a" / "kaggle" / "csv").mkdir(exist_ok=True)
    for path in (tmp_path / "a" / "kaggle").glob("*.csv"):
        path.rename(path.parent / "csv" / path.name)
    assert len(CBISDDSMDataModule(tmp_path, val_fraction=0.3).splits["test"].rois) == 1
