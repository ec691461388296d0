from pathlib import Path

import pytest

from data_modules.evaluation import EvaluationDataModule, EvaluationReader
from data_modules.mammography_sets import INbreast, VinDrMammo
from data_modules.mammography_sets.inbreast import read_contours
from data_modules.regions import BoxRegion, PolygonRegion
from tests.data.mammography_sets.data import write_inbreast, write_vindr_mammo


def module(reader: EvaluationReader) -> EvaluationDataModule:
    return EvaluationDataModule(reader, ("Malignant",), image_size=40, mean=0.0, std=1.0)


def check_lesion(data: EvaluationDataModule, row: int) -> None:
    """The lesion is the brightest part of the breast, wherever crop and mirror put it."""
    batch = next(iter(data.test_dataloader()))
    mask = batch["roi_mask"][batch["roi_sample"] == row][0].numpy()
    lesion = batch["image"][row, 0].numpy() > 0.7
    assert lesion.sum() > 40
    assert (lesion & mask).sum() >= 0.9 * lesion.sum()


def test_vindr_mammo_takes_suspicion_for_a_label(tmp_path: Path) -> None:
    write_vindr_mammo(tmp_path)
    data = module(VinDrMammo(tmp_path))
    test = data.splits["test"]
    assert test.sample_id.tolist() == ["a", "b", "c"]
    assert test.patient_id.tolist() == ["s1", "s1", "s2"]
    assert test.label[:, 0].tolist() == [1, 0, 1]
    assert test.strata["density"].tolist() == ["C", "B", "A"]
    # a mass, and a calcification that begins left of the image; not what is probably benign, nor the asymmetry of image c
    assert {row: rois[0].regions for row, rois in test.rois.items()} == {
        0: (BoxRegion((10, 20, 20, 30)), BoxRegion((0, 40, 5, 45)))
    }
    assert test.rois[0][0].frame == (60, 40)
    check_lesion(data, 0)  # a MONOCHROME1 file


def test_vindr_mammo_arguments(tmp_path: Path) -> None:
    write_vindr_mammo(tmp_path)
    more = module(VinDrMammo(tmp_path, categories=("Asymmetry",), min_birads=5)).splits["test"]
    assert more.label[:, 0].tolist() == [1, 0, 0]
    assert not more.rois
    assert list(module(VinDrMammo(tmp_path, categories=("Asymmetry",))).splits["test"].rois) == [2]
    with pytest.raises(FileNotFoundError, match=r"d\.dicom"):
        _ = module(VinDrMammo(tmp_path, "training")).splits


def test_inbreast_images_are_found_whatever_their_suffix(tmp_path: Path) -> None:
    write_inbreast(tmp_path)
    expected = INbreast(tmp_path).read()
    for path in list((tmp_path / "AllDICOMs").iterdir()):
        path.rename(path.with_suffix(""))
    found = INbreast(tmp_path).read()
    assert found.patient_id == expected.patient_id
    assert [path.name for path in found.files] == ["111_aaa_MG_L_CC_ANON", "222_bbb_MG_R_ML_ANON"]


def test_inbreast_contours_and_assessments(tmp_path: Path) -> None:
    write_inbreast(tmp_path)
    data = module(INbreast(tmp_path))
    test = data.splits["test"]
    assert test.sample_id.tolist() == ["111", "222"]
    assert test.patient_id.tolist() == ["aaa", "bbb"]
    assert test.label[:, 0].tolist() == [1, 0]  # 4a is a 4
    assert test.strata["view"].tolist() == ["CC", "MLO"]
    ((roi,),) = test.rois.values()
    assert roi.regions == (PolygonRegion(((10, 20), (20, 20), (20, 30), (10, 30))),)
    assert test.counts["regions_of_a_point"] == 1
    check_lesion(data, 0)
    both = module(INbreast(tmp_path, names=("Calcification", "Mass"))).splits["test"]
    assert len(both.rois[0][0].regions) == 2


def test_points_of_inbreast_are_x_and_y(tmp_path: Path) -> None:
    write_inbreast(tmp_path)
    names = [(name, len(points)) for name, points in read_contours(tmp_path / "AllXML/111.xml")]
    assert names == [("Mass", 4), ("Cluster", 1), ("Calcification", 4)]


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    for reader in (VinDrMammo(tmp_path), INbreast(tmp_path)):
        with pytest.raises(FileNotFoundError, match=r"\.csv"):
            _ = module(reader).splits
    write_inbreast(tmp_path)
    path = tmp_path / "INbreast.csv"
    path.write_text(path.read_text().replace(";", ","))
    with pytest.raises(ValueError, match="File Name"):
        _ = module(INbreast(tmp_path)).splits
