import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from data_modules.chest_sets import CheXlocalize
from data_modules.evaluation import EvaluationDataModule
from tests.data.chest_sets.data import write_chexlocalize, write_image

LABELS = ("Edema", "Lung Opacity", "Fracture")


def read(root: Path, split: str = "test", **arguments: object) -> EvaluationDataModule:
    return EvaluationDataModule(CheXlocalize(root, split, **arguments), LABELS, image_size=20, resize="stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("annotation", ["contours", "masks"])
def test_labels_and_filled_regions_of_frontal_images(tmp_path: Path, split: str, annotation: str) -> None:
    write_chexlocalize(tmp_path, split)
    data = read(tmp_path, split, annotation=annotation)
    test = data.splits["test"]
    assert test.sample_id.tolist() == ["patient1_study1_view1_frontal", "patient2_study1_view1_frontal"]
    assert test.patient_id.tolist() == ["patient1", "patient2"]
    np.testing.assert_array_equal(test.label, [[1, 1, 0], [0, 0, 0]])
    # the second image has empty masks only
    assert {row: [roi.label for roi in rois] for row, rois in test.rois.items()} == {0: [0, 1]}
    edema, opacity = next(iter(data.test_dataloader()))["roi_mask"].numpy()
    # two overlapping contours are a union, not their difference, and they are filled
    expected = np.zeros((20, 20), bool)
    expected[4:12, 4:12] = expected[8:16, 8:16] = True
    np.testing.assert_array_equal(edema, expected)
    assert opacity.sum() == 10 * 10


def test_the_frame_is_height_and_width(tmp_path: Path) -> None:
    write_chexlocalize(tmp_path, "test")
    assert read(tmp_path).splits["test"].rois[0][0].frame == (40, 80)
    write_image(tmp_path / "CheXpert/test/patient1/study1/view1_frontal.jpg", (80, 40))
    with pytest.raises(OSError, match="aspect ratio"):
        next(iter(read(tmp_path).test_dataloader()))


def test_regions_on_other_images_than_those_with_labels_are_refused(tmp_path: Path) -> None:
    write_chexlocalize(tmp_path, "test")
    path = tmp_path / "CheXlocalize/gt_annotations_test.json"
    content = json.loads(path.read_text())
    extra = {**content, "patient9_study1_view1_frontal": content["patient1_study1_view1_frontal"]}
    path.write_text(json.dumps(extra))
    assert read(tmp_path).splits["test"].counts["images_with_regions_elsewhere"] == 1
    path.write_text(json.dumps({key.removesuffix("_frontal"): value for key, value in content.items()}))
    with pytest.raises(ValueError, match="'patient1_study1_view1' instead of 'patient1_study1_view1_frontal'"):
        _ = read(tmp_path).splits


def test_names_of_regions_that_are_no_findings_are_counted(tmp_path: Path) -> None:
    write_chexlocalize(tmp_path, "test")
    path = tmp_path / "CheXlocalize/gt_annotations_test.json"
    path.write_text(path.read_text().replace('"Edema"', '"edema"'))
    test = read(tmp_path).splits["test"]
    assert test.counts["unknown_names"] == 1
    assert [roi.label for roi in test.rois[0]] == [1]


def test_masks_agree_with_pycocotools(tmp_path: Path) -> None:
    write_chexlocalize(tmp_path, "test")
    content = json.loads((tmp_path / "CheXlocalize/gt_segmentations_test.json").read_text())
    encoded = content["patient1_study1_view1_frontal"]["Edema"]
    assert coco.decode({**encoded, "counts": encoded["counts"].encode()}).sum() > 0


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"test_labels\.csv"):
        _ = read(tmp_path).splits
    write_chexlocalize(tmp_path, "test")
    (tmp_path / "CheXpert/test/patient1/study1/view1_frontal.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="patient1"):
        _ = read(tmp_path).splits


@pytest.mark.parametrize("split", ["val", "test"])
def test_labels_and_images_are_found_from_the_folder_above(tmp_path: Path, split: str) -> None:
    write_chexlocalize(tmp_path / "chexlocalize", split)
    test = read(tmp_path, split).splits["test"]
    assert all(file.is_file() for file in test.image)
    assert test.image == read(tmp_path / "chexlocalize", split).splits["test"].image


def test_images_are_found_in_a_copy_of_chexpert_of_another_name(tmp_path: Path) -> None:
    write_chexlocalize(tmp_path, "val")
    (tmp_path / "CheXpert" / "valid").rename(tmp_path / "valid")
    (tmp_path / "CheXpert-v1.0").mkdir()
    (tmp_path / "valid").rename(tmp_path / "CheXpert-v1.0" / "valid")
    assert all(file.is_file() for file in read(tmp_path, "val").splits["test"].image)


def test_labels_may_call_an_opacity_as_the_annotations_do(tmp_path: Path) -> None:
    write_chexlocalize(tmp_path, "test")
    path = tmp_path / "CheXpert" / "test_labels.csv"
    path.write_text(path.read_text().replace("Lung Opacity", "Airspace Opacity").replace("Fracture", "Other"))
    np.testing.assert_array_equal(read(tmp_path).splits["test"].label, [[1, 1, np.nan], [0, 0, np.nan]])
    path.write_text(path.read_text().replace("Path", "File"))
    with pytest.raises(ValueError, match=r"test_labels\.csv' but got \['Path'\]"):
        _ = read(tmp_path).splits
