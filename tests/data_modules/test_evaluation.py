from pathlib import Path

import numpy as np
import pytest

from data_modules.evaluation import EvaluationDataModule, project_labels
from data_modules.split import Split
from tests.tiny import NAMES, write_tiny


class Elsewhere(EvaluationDataModule):
    """The tiny test images, as a data set of their own."""

    def __init__(self, root: Path) -> None:
        super().__init__(NAMES, image_size=32, batch_size=4)
        self.root = root

    def read_test(self) -> Split:
        return write_tiny(self.root, {"test": 6})["test"]


def test_there_is_a_test_split_and_nothing_to_train_on(tmp_path: Path) -> None:
    data = Elsewhere(tmp_path)
    data.setup("test")
    assert list(data.splits) == ["test"]
    assert len(next(iter(data.test_dataloader()))["image"]) == 4
    with pytest.raises(TypeError, match="Elsewhere is for evaluation only"):
        data.train_dataloader()


def test_labels_are_brought_into_the_order_of_the_student() -> None:
    labels = np.array([[1, 0], [np.nan, 1]], dtype=np.float32)
    projected = project_labels(labels, ("Edema", "Pneumonia"), ("Pneumonia", "Cardiomegaly", "Edema"))
    np.testing.assert_array_equal(projected, [[0, np.nan, 1], [1, np.nan, np.nan]])
    with pytest.raises(ValueError, match="share a finding"):
        project_labels(labels, ("Edema", "Pneumonia"), ("Malignant",))
