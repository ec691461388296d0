from pathlib import Path

import numpy as np
import pytest

from data_modules.chest_sets import NIHChestXray14
from data_modules.chest_sets.nih_chestxray14 import read_boxes
from data_modules.evaluation import EvaluationDataModule
from data_modules.images.regions import BoxRegion
from tests.data.chest_sets.data import write_image, write_nih
from tests.real import real_data

LABELS = ("Lung Lesion", "Lung Opacity", "Pleural Effusion")


def read(root: Path, images: str = "boxed", missing: str = "error") -> EvaluationDataModule:
    reader = NIHChestXray14(root, images)  # type: ignore[arg-type]
    return EvaluationDataModule(reader, LABELS, missing, image_size=32, resize="stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["2017", "2017_v2020"])
def test_boxes_labels_and_patients(tmp_path: Path, version: str) -> None:
    write_nih(tmp_path, version)
    test = read(tmp_path).splits["test"]
    assert test.sample_id.tolist() == ["00000001_000.png", "00000002_000.png"]
    assert test.patient_id.tolist() == ["1", "2"]
    # "Infiltrate" in the list of boxes is "Infiltration" in the table
    np.testing.assert_array_equal(test.label, [[0, 1, 1], [1, 0, 0]])
    (roi,) = test.rois[0]
    assert (roi.label, roi.frame) == (1, (1024, 1024))
    assert roi.regions == (BoxRegion((256, 512, 512, 1024)),)
    assert test.strata["view"].tolist() == ["PA", "AP"]


def test_boxes_fit_images_of_any_size_and_colour(tmp_path: Path) -> None:
    write_nih(tmp_path)
    data = read(tmp_path)
    batch = next(iter(data.test_dataloader()))
    expected = np.zeros((32, 32), bool)
    expected[16:, 8:16] = True
    np.testing.assert_array_equal(batch["roi_mask"][0].numpy(), expected)
    assert batch["image"].shape == (2, 1, 32, 32)  # one of the files is RGBA


def test_the_whole_test_list(tmp_path: Path) -> None:
    write_nih(tmp_path)
    test = read(tmp_path, "test_list").splits["test"]
    assert test.sample_id.tolist() == ["00000001_000.png", "00000002_000.png", "00000003_000.png"]
    assert 2 not in test.rois


def test_boxes_of_images_that_are_not_in_the_list_are_left_out(tmp_path: Path) -> None:
    write_nih(tmp_path)
    (tmp_path / "test_list.txt").write_text("00000003_000.png\n")
    test = read(tmp_path, "test_list").splits["test"]
    assert test.sample_id.tolist() == ["00000003_000.png"]
    assert not test.rois
    assert test.counts["images_with_regions_elsewhere"] == 0


def test_the_vocabulary_is_that_of_the_set_not_of_the_images_that_are_read(tmp_path: Path) -> None:
    write_nih(tmp_path)
    path = tmp_path / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("Infiltration|Effusion", "Fibrosis|Effusion"))
    labels = ("Pneumonia", "Edema", "Fracture", "Lung Opacity", "No Finding")
    data = EvaluationDataModule(NIHChestXray14(tmp_path), labels, image_size=32)
    # neither image has a pneumonia, so it is absent; fractures are not among the findings; fibrosis may be an opacity
    np.testing.assert_array_equal(data.splits["test"].label, [[0, 0, np.nan, np.nan, 0], [0, 0, np.nan, 0, 0]])
    assert data.data_report()["test"]["not_annotated: Fracture"] == 2
    path.write_text(path.read_text().replace("Mass|Nodule", "Mass|Dragon"))
    with pytest.raises(ValueError, match=r"got \['Dragon'\]"):
        NIHChestXray14(tmp_path).read()


def test_a_resized_copy_farther_down_does_not_replace_the_images(tmp_path: Path) -> None:
    write_nih(tmp_path)
    expected = read(tmp_path).splits["test"].image
    write_image(tmp_path / "resized" / "224" / "images" / "00000001_000.png", (32, 32))
    assert read(tmp_path).splits["test"].image == expected


def test_the_set_is_found_from_above(tmp_path: Path) -> None:
    write_nih(tmp_path / "a" / "nih")
    assert all(file.is_file() for file in read(tmp_path, "test_list").splits["test"].image)


def test_the_real_list_of_boxes() -> None:
    folder = real_data("nih_cxr8_bbox")
    boxes = read_boxes(folder / "BBox_List_2017.csv")
    assert len(boxes) == 984
    assert boxes["Image Index"].nunique() == 880
    assert boxes["Finding Label"].value_counts().to_dict() == {
        "Atelectasis": 180, "Effusion": 153, "Cardiomegaly": 146, "Infiltrate": 123, "Pneumonia": 120,
        "Pneumothorax": 98, "Mass": 85, "Nodule": 79,
    }  # fmt: skip
    found = NIHChestXray14(folder).read()
    assert len(found.sample_id) == 880
    assert found.counts["images_without_a_row"] == 0
    # every box shows a finding that the table names, too, in nearly all images
    column = {name: i for i, name in enumerate(found.names)}
    row = {name: i for i, name in enumerate(found.sample_id)}
    agree = [found.labels[row[image], column[finding]] == 1 for image, finding, _ in found.regions]
    assert np.mean(agree) > 0.95
    with pytest.raises(FileNotFoundError, match="880 are missing"):
        _ = read(folder).splits


def test_a_box_with_a_cell_too_many_is_refused(tmp_path: Path) -> None:
    """Such as a decimal comma, behind which all numbers belong to the next column."""
    write_nih(tmp_path)
    path = tmp_path / "BBox_List_2017.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([*cells[:3], "5", *cells[3:]])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"Expected a table in '.*BBox_List_2017\.csv' but it is empty or damaged"):
        read_boxes(path)
