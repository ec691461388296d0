import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_modules.chest_sets import PadChestGR
from data_modules.evaluation import Annotated, EvaluationDataModule
from data_modules.images.regions import BoxRegion
from tests.data.chest_sets.data import write_grounded_reports, write_image, write_padchest_gr

LABELS = ("Atelectasis", "Pleural Effusion", "Pneumonia")


def read(root: Path, split: str = "all") -> EvaluationDataModule:
    return EvaluationDataModule(PadChestGR(root, split), LABELS, image_size=20, resize="stretch")  # type: ignore[arg-type]


def test_labels_and_normalised_boxes_of_both_readers(tmp_path: Path) -> None:
    write_padchest_gr(tmp_path)
    data = read(tmp_path)
    test = data.splits["test"]
    assert test.sample_id.tolist() == ["i1.png", "i2.png"]
    assert test.patient_id.tolist() == ["p1", "p2"]
    # a sentence names two findings of one label, another is about normal anatomy and has no labels at all
    np.testing.assert_array_equal(test.label, [[1, 1, np.nan], [0, 0, np.nan]])
    atelectasis, effusion = test.rois[0]
    assert list(effusion.regions) == [
        BoxRegion((0.0, 0.5, 0.5, 1.0), True),
        BoxRegion((0.5, 0.5, 0.75, 1.0), True),
    ]
    assert (atelectasis.label, effusion.label) == (0, 1)
    mask = next(iter(data.test_dataloader()))["roi_mask"][1].numpy()
    expected = np.zeros((20, 20), bool)
    expected[10:, :15] = True
    np.testing.assert_array_equal(mask, expected)
    assert (test.counts["images_without_a_report"], test.counts["unknown_names"]) == (0, 0)


def test_the_split_is_by_patient_and_the_sets_own(tmp_path: Path) -> None:
    write_padchest_gr(tmp_path)
    assert read(tmp_path, "test").splits["test"].sample_id.tolist() == ["i2.png"]
    with pytest.raises(ValueError, match="Expected samples in test"):
        _ = read(tmp_path, "validation").splits


def test_a_table_without_patients_is_refused(tmp_path: Path) -> None:
    write_padchest_gr(tmp_path)
    (tmp_path / "master_table.csv.zip").unlink()
    (tmp_path / "master_table.csv").write_text("StudyID,ImageID,Patient,label,split\ns1,i1.png,p1,scoliosis,train\n")
    with pytest.raises(ValueError, match="PatientID"):
        _ = read(tmp_path).splits
    (tmp_path / "master_table.csv").unlink()
    (tmp_path / "master_table.csv.zip").write_bytes(b"half of an archive")
    with pytest.raises(ValueError, match=r"master_table\.csv\.zip' but it is empty or damaged"):
        _ = read(tmp_path).splits


@pytest.mark.parametrize("form", ["here", "above", "unpacked"])
def test_table_and_images_are_found_as_they_are_distributed(tmp_path: Path, form: str) -> None:
    root = tmp_path / "padchest-gr"
    write_padchest_gr(root)
    if form == "unpacked":
        with zipfile.ZipFile(root / "master_table.csv.zip") as archive:
            archive.extractall(root)
        (root / "master_table.csv.zip").unlink()
        (root / "Padchest_GR_files" / "PadChest_GR").rename(root / "images")
    data = read(tmp_path if form == "above" else root)
    assert data.splits["test"].patient_id.tolist() == ["p1", "p2"]
    assert all(file.is_file() for file in data.splits["test"].image)


def test_images_are_found_beside_a_folder_of_earlier_ones(tmp_path: Path) -> None:
    write_padchest_gr(tmp_path)
    # an earlier image of one patient is among the annotated ones
    write_image(tmp_path / "PadChest_GR_progression_prior_studies" / "i1.png", (40, 80))
    folder = tmp_path / "Padchest_GR_files" / "PadChest_GR"
    assert read(tmp_path).splits["test"].image == [folder / "i1.png", folder / "i2.png"]


def test_what_the_set_does_not_annotate_has_no_label_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_padchest_gr(tmp_path)
    labels = ("Atelectasis", "Edema", "Pneumonia", "No Finding")
    data = EvaluationDataModule(PadChestGR(tmp_path), labels, image_size=20)
    with caplog.at_level(logging.INFO, "mmpkd"):
        test = data.splits["test"]
        _ = data.splits
    # no sentence of this set speaks of edema or pneumonia: hilar congestion is a sign, and says nothing of the other images
    assert np.isnan(test.label[:, 1:]).all()
    assert data.data_report()["test"]["not_annotated: Pneumonia"] == 2
    assert "not_annotated: Atelectasis" not in test.counts
    (line,) = [record.message for record in caplog.records]
    assert line == (
        "PadChestGR annotates Atelectasis: absent where it does not state them; "
        "it does not annotate Edema, Pneumonia, No Finding: no label and no score."
    )


# names of the same family as a label, which once counted as its absence
FAMILIES = {
    "segmental atelectasis": "Atelectasis",
    "total atelectasis": "Atelectasis",
    "loculated fissural effusion": "Pleural Effusion",
    "interstitial pattern": "Lung Opacity",
    "reticular interstitial pattern": "Lung Opacity",
    "reticulonodular interstitial pattern": "Lung Opacity",
    "miliary opacities": "Lung Opacity",
    "callus rib fracture": "Fracture",
    "humeral fracture": "Fracture",
    "vertebral fracture": "Fracture",
    "granuloma": "Lung Lesion",
    "calcified granuloma": "Lung Lesion",
    "calcified pleural thickening": "Pleural Other",
    "single chamber device": "Support Devices",
    "dual chamber device": "Support Devices",
    "electrical device": "Support Devices",
    "catheter": "Support Devices",
    "central venous catheter via jugular vein": "Support Devices",
    "central venous catheter via subclavian vein": "Support Devices",
    "reservoir central venous catheter": "Support Devices",
    "tracheostomy tube": "Support Devices",
    "gastrostomy tube": "Support Devices",
    "NSG tube": "Support Devices",
}
OPEN = {
    "volume loss": ("Atelectasis",),
    "costophrenic angle blunting": ("Pleural Effusion", "Pleural Other"),
    "consolidation": ("Lung Opacity",),
    "vertebral compression": ("Fracture",),
}


@pytest.fixture(scope="module")
def one_name_each(tmp_path_factory: pytest.TempPathFactory) -> Annotated:
    """An image for each name, one with volume loss and atelectasis, and one with two labels in one name."""
    images = [
        *([name] for name in (*FAMILIES, *OPEN)),
        ["volume loss", "atelectasis"],
        ["hydropneumothorax"],
        ["dragon"],
    ]
    studies = [
        {"ImageID": f"i{n}.png", "findings": [{"labels": names, "boxes": [[0, 0, 1, 1]]}]}
        for n, names in enumerate(images)
    ]
    root = tmp_path_factory.mktemp("padchest")
    write_grounded_reports(root, studies, [f"s,i{n}.png,p{n},x,test" for n in range(len(images))])
    return PadChestGR(root).read()


@pytest.mark.parametrize("name", FAMILIES)
def test_names_of_the_same_family_are_no_false_negatives(one_name_each: Annotated, name: str) -> None:
    row = list(FAMILIES).index(name)
    assert one_name_each.labels[row, one_name_each.names.index(FAMILIES[name])] == 1
    assert (f"i{row}.png", FAMILIES[name]) in [region[:2] for region in one_name_each.regions]


@pytest.mark.parametrize("name", OPEN)
def test_names_that_leave_a_label_open_do_not_deny_it(one_name_each: Annotated, name: str) -> None:
    row = len(FAMILIES) + list(OPEN).index(name)
    unstated = {one_name_each.names[i] for i in np.flatnonzero(np.isnan(one_name_each.labels[row]))}
    assert unstated == set(OPEN[name])


def test_one_name_may_state_two_labels_and_an_unknown_one_none(one_name_each: Annotated) -> None:
    clear, double, unknown = (
        dict(zip(one_name_each.names, row.tolist(), strict=True)) for row in one_name_each.labels[-3:]
    )
    assert clear["Atelectasis"] == 1
    assert {name for name, value in double.items() if value == 1} == {"Pleural Effusion", "Pneumothorax"}
    assert set(unknown.values()) == {0}
    assert one_name_each.unknown_names == ["dragon"]
