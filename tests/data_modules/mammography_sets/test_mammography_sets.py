from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_modules.evaluation import EvaluationDataModule, EvaluationReader
from data_modules.images.regions import BoxRegion, PolygonRegion
from data_modules.mammography_sets import INbreast, VinDrMammo
from data_modules.mammography_sets.birads import read_birads
from data_modules.mammography_sets.contours import read_contours
from tests.data.mammography_sets.data import SQUARE, write_contours, write_inbreast, write_vindr_mammo


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
    assert test.counts["boxes_of_other_findings"] == test.counts["boxes_of_milder_findings"] == 1
    check_lesion(data, 0)  # a MONOCHROME1 file


def test_vindr_mammo_has_no_label_without_assessment_and_no_region_without_suspicion(tmp_path: Path) -> None:
    write_vindr_mammo(tmp_path)
    path = tmp_path / "finding_annotations.csv"
    text = path.read_text()
    # a suspicious box in a breast that was rated milder, which contradicts itself
    path.write_text(text.replace("60,40,BI-RADS 5", "60,40,BI-RADS 3").replace("BI-RADS 2,DENSITY B", ",DENSITY B"))
    test = module(VinDrMammo(tmp_path)).splits["test"]
    assert (test.label[0, 0], test.label[2, 0]) == (0, 1)
    assert np.isnan(test.label[1, 0])
    assert not test.rois
    assert (test.counts["images_without_assessment"], test.counts["boxes_of_milder_findings"]) == (1, 3)
    path.write_text(text.replace("s1,x,a,L,CC,60,40", "s1,x,a,L,CC,60,50", 1))
    with pytest.raises(ValueError, match="one size of each image"):
        _ = module(VinDrMammo(tmp_path)).splits
    with pytest.raises(ValueError, match="Did you mean 'Suspicious Calcification'"):
        VinDrMammo(tmp_path, categories=("Suspicious Calcifications",))


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
    assert [path.name for path in found.files] == [path.stem for path in expected.files]


def test_inbreast_contours_and_assessments(tmp_path: Path) -> None:
    write_inbreast(tmp_path)
    data = module(INbreast(tmp_path))
    test = data.splits["test"]
    assert test.sample_id.tolist() == ["111", "222", "333"]
    assert test.patient_id.tolist() == ["aaa", "bbb", "bbb"]
    np.testing.assert_array_equal(test.label[:, 0], [1, 0, np.nan])  # 4a is a 4; a blank assessment is none
    assert test.strata["view"].tolist() == ["CC", "MLO", "CC"]
    # the mass of an image that is probably benign is no region of "Malignant"
    ((row, (roi,)),) = test.rois.items()
    assert (row, roi.regions) == (0, (PolygonRegion(((10, 20), (20, 20), (20, 30), (10, 30))),) * 3)
    left_out = {name: number for name, number in test.counts.items() if number and "dropped" not in name}
    assert left_out == {
        "images_without_assessment": 1,
        "regions_of_a_point": 1,
        "contours_of_milder_images": 1,
        "contours_named_calcifications": 1,
        "contours_named_unnamed": 1,
        "contours_named_point 3": 1,
        "contours_named_nothing": 1,
    }
    check_lesion(data, 0)


@pytest.mark.parametrize("separator", [";", ","])
def test_inbreast_is_read_as_pandas_and_spreadsheets_export_its_workbook(tmp_path: Path, separator: str) -> None:
    """The rows of sums below its table make pandas write the numbers of files as decimals."""
    write_inbreast(tmp_path)
    expected = INbreast(tmp_path).read()
    path = tmp_path / "INbreast.csv"
    table = pd.read_csv(path, sep=";", dtype={"Bi-Rads": str, "ACR": str})
    table["Mass "] = ["X", None, None, 1]
    table.to_csv(path, sep=separator, index=False)
    assert "111.0" in path.read_text()
    found = INbreast(tmp_path).read()
    assert (found.sample_id, found.files, found.strata) == (expected.sample_id, expected.files, expected.strata)
    assert found.regions == expected.regions
    assert found.counts == {**expected.counts, "rows_without_file_name": 1}
    np.testing.assert_array_equal(found.labels, expected.labels)


SPELLINGS = {
    "Mass": ("Mass", "mass"),
    "Spiculated Region": ("Spiculated Region", "Spiculated region", "Espiculated Region", " espiculated region"),
    "Asymmetry": ("Asymmetry", "Assymetry", "ASSYMETRY"),
    "Calcification": ("Calcification", "Calcifications"),
    "Cluster": ("Cluster",),
    "Distortion": ("Distortion", "distortion"),
}


@pytest.mark.parametrize("kind", list(SPELLINGS))
def test_inbreast_names_are_matched_however_they_are_spelt(tmp_path: Path, kind: str) -> None:
    write_inbreast(tmp_path)
    (tmp_path / "AllXML/222.xml").unlink()
    spellings = [name for names in SPELLINGS.values() for name in names]
    write_contours(tmp_path / "AllXML/111.xml", dict.fromkeys(spellings, SQUARE))
    for name in SPELLINGS[kind]:
        test = module(INbreast(tmp_path, names=(name,))).splits["test"]
        num_left_out = sum(number for key, number in test.counts.items() if "named" in key)
        assert len(test.rois[0][0].regions) == len(SPELLINGS[kind]) == len(spellings) - num_left_out
    with pytest.raises(ValueError, match="kinds of contours"):
        INbreast(tmp_path, names=("Point 1",))


def test_inbreast_copies_need_the_size_of_the_originals(tmp_path: Path) -> None:
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("image_id,height,width\n111,60,40\n")
    for size, squeezed in (((120, 80), False), ((120, 120), True)):
        write_inbreast(tmp_path / str(size), copies=size)
        data = module(INbreast(tmp_path / str(size), annotation_size=sizes, squeezed=squeezed))
        assert data.splits["test"].patient_id.tolist() == ["aaa", "bbb", "bbb"]
        check_lesion(data, 0)
        with pytest.raises(ValueError, match=r"is a copy.*Set data\.reader\.annotation_size"):
            _ = module(INbreast(tmp_path / str(size))).splits
    folder = tmp_path / "(120, 120)"
    with pytest.raises(OSError, match="squeezed copy"):
        _ = module(INbreast(folder, annotation_size=sizes)).splits
    (folder / "AllPNGs/222_bbb_MG_R_ML_ANON.png").rename(folder / "AllPNGs/222.png")
    test = module(INbreast(folder, with_regions=False)).splits["test"]
    assert test.patient_id.tolist() == ["aaa", "222", "bbb"]
    assert (test.counts["images_without_patient"], len(test.rois)) == (1, 0)


@pytest.mark.parametrize(
    ("cell", "category"),
    [("4", 4), ("4a", 4), (" 4C ", 4), ("BI-RADS 5", 5), ("bi-rads 0", 0), ("", None), (None, None)],
)
def test_assessments_are_read_as_tables_write_them(cell: str | None, category: float | None) -> None:
    (found,) = read_birads(pd.Series([cell], dtype=object), "a column")
    assert np.isnan(found) if category is None else found == category


@pytest.mark.parametrize("cell", ["IV", "7", "unknown", "4d", "44", "BI-RADS"])
def test_other_assessments_are_refused_with_their_row(cell: str) -> None:
    with pytest.raises(ValueError, match=rf"in a column but got '{cell}' \(row 3\)"):
        read_birads(pd.Series(["4", cell]), "a column")


def test_positive_images_of_inbreast_without_contours_are_counted(tmp_path: Path) -> None:
    write_inbreast(tmp_path)
    assert module(INbreast(tmp_path)).splits["test"].counts["positive_images_without_contours"] == 0
    (tmp_path / "AllXML/111.xml").unlink()
    assert module(INbreast(tmp_path)).splits["test"].counts["positive_images_without_contours"] == 1


def test_inbreast_without_its_contours_is_refused_unless_only_labels_are_wanted(tmp_path: Path) -> None:
    write_inbreast(tmp_path)
    (tmp_path / "AllXML").rename(tmp_path / "XML")
    with pytest.raises(FileNotFoundError, match=r"AllXML' but there is no such folder.*with_regions"):
        _ = module(INbreast(tmp_path)).splits
    assert not module(INbreast(tmp_path, with_regions=False)).splits["test"].rois


def test_contours_of_inbreast_are_complete_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "xml/1.xml"
    write_contours(path, {"Mass": ["(1.5, -2)", "(3.0,4.25)"], "": []})
    assert list(read_contours(path)) == [("Mass", ((1.5, -2.0), (3.0, 4.25))), ("", ())]
    for text in ("(1.5, 2, 3)", "1.5 2", "(1.2.3, 4)"):
        write_contours(path, {"Mass": [text, "(3, 4)", "(5, 6)", "(7, 8)"]})
        with pytest.raises(ValueError, match="Expected contours in"):
            list(read_contours(path))
    for content in (b"", b"<plist><dict></plist>", path.read_bytes().replace(b"ROIs", b"Rest")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="Restore the file"):
            list(read_contours(path))


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    for reader in (VinDrMammo(tmp_path), INbreast(tmp_path)):
        with pytest.raises(FileNotFoundError, match=r"\.csv"):
            _ = module(reader).splits
    write_inbreast(tmp_path)
    path = tmp_path / "INbreast.csv"
    path.write_text(path.read_text().replace(";", "|"))
    with pytest.raises(ValueError, match="File Name"):
        _ = module(INbreast(tmp_path)).splits
