from pathlib import Path

import numpy as np
import pytest

from data_modules.chest_sets import PadChestGR
from data_modules.evaluation import EvaluationDataModule
from data_modules.regions import BoxRegion
from tests.data.chest_sets.data import write_padchest_gr

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
    np.testing.assert_array_equal(test.label, [[1, 1, 0], [0, 0, 0]])
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
    assert test.counts["names_without_a_label"] == 1


def test_the_split_is_by_patient_and_the_sets_own(tmp_path: Path) -> None:
    write_padchest_gr(tmp_path)
    assert read(tmp_path, "test").splits["test"].sample_id.tolist() == ["i2.png"]
    with pytest.raises(ValueError, match="Expected samples in test"):
        _ = read(tmp_path, "validation").splits


def test_a_table_without_patients_is_refused(tmp_path: Path) -> None:
    write_padchest_gr(tmp_path)
    path = tmp_path / "master_table.csv"
    path.write_text(path.read_text().replace("PatientID", "Patient"))
    with pytest.raises(ValueError, match="PatientID"):
        _ = read(tmp_path).splits
