import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_modules.evaluation import (
    Annotated,
    EvaluationDataModule,
    EvaluationReader,
    project_labels,
)
from mmpkd.commands.main import main
from tests.runs import config, student
from tests.tiny import NAMES, write_tiny


class Elsewhere(EvaluationReader):
    """The tiny test images, as a data set of their own, with the labels in another order and one that nobody knows.

    Args:
        root: Folder of the images.
    """

    license = "synthetic"
    roi_area = 0.07

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def read(self) -> Annotated:
        split = write_tiny(self.root, {"test": 16})["test"]
        return Annotated(
            sample_id=split.sample_id.tolist(),
            patient_id=split.patient_id.tolist(),
            files=list(split.image),
            names=("Other", NAMES[1]),
            labels=np.stack([1 - split.label[:, 0], split.label[:, 1]], axis=1),
            regions=[
                (str(split.sample_id[row]), NAMES[roi.label], region)
                for row, rois in split.rois.items()
                for roi in rois
                for region in roi.regions
            ],
            frames=dict.fromkeys(split.sample_id.tolist(), (32, 32)),
            strata={"parity": [str(i % 2) for i in range(16)]},
        )


def module(root: Path, missing: str = "error") -> EvaluationDataModule:
    return EvaluationDataModule(Elsewhere(root), NAMES, missing, image_size=32, batch_size=4)  # type: ignore[arg-type]


def test_there_is_a_test_split_and_nothing_to_train_on(tmp_path: Path) -> None:
    data = module(tmp_path)
    data.setup("test")
    assert list(data.splits) == ["test"]
    batch = next(iter(data.test_dataloader()))
    assert batch["image"].shape == (4, 1, 32, 32)
    assert "privileged" not in batch
    assert data.license == "synthetic"
    assert data.roi_area == 0.07
    with pytest.raises(
        ValueError, match=r"in train, val but \['train', 'val'\] have none\. Check data\.reader\..*`mmpkd test` only"
    ):
        data.setup("fit")


def test_labels_and_regions_are_those_of_the_student(tmp_path: Path) -> None:
    split = module(tmp_path).splits["test"]
    own = write_tiny(tmp_path, {"test": 16})["test"]
    assert np.isnan(split.label[:, 0]).all()
    np.testing.assert_array_equal(split.label[:, 1], own.label[:, 1])
    assert {row: [roi.label for roi in rois] for row, rois in split.rois.items()} == {
        row: [roi.label for roi in rois] for row, rois in own.rois.items()
    }


def test_missing_images_are_an_error_or_counted(tmp_path: Path) -> None:
    files = write_tiny(tmp_path, {"test": 16})["test"].image
    read = Elsewhere.read

    def without(reader: Elsewhere) -> Annotated:
        found = read(reader)
        files[3].unlink(missing_ok=True)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Elsewhere, "read", without)
        with pytest.raises(FileNotFoundError, match=r"1 are missing, for example .*3\.png"):
            _ = module(tmp_path).splits
        data = module(tmp_path, "drop")
        assert len(data.splits["test"]) == 15
        assert data.data_report()["test"]["dropped_missing_images"] == 1
        assert data.splits["test"].strata["parity"].tolist()[2:4] == ["0", "0"]


@pytest.mark.slow
def test_a_student_is_tested_on_another_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *config(tmp_path, "run", tmp_path / "tiny", student())]) == 0
    checkpoint = tmp_path / "run" / "checkpoints" / "best.ckpt"
    reader = {"class_path": f"{__name__}.Elsewhere", "init_args": {"root": str(tmp_path / "elsewhere")}}
    settings = {"reader": reader, "label_names": list(NAMES), "image_size": 32, "batch_size": 4}
    other = {"class_path": "data_modules.evaluation.EvaluationDataModule", "init_args": settings}
    monitor = [{"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"}]
    arguments = config(tmp_path, "external", tmp_path, student(), data=other, trainer={"callbacks": monitor})
    assert main(["test", *arguments, f"--ckpt_path={checkpoint}"]) == 0
    metrics = json.loads((tmp_path / "external" / "run.json").read_text())["test"]["metrics"]
    assert 0 <= metrics["test/auroc_macro"] <= 1
    table = pd.read_parquet(tmp_path / "external" / "roi_test.parquet")
    assert set(table["finding"]) == {NAMES[0], NAMES[1]}
    # as many labels in another order would be scored against each other
    other["init_args"] = {**settings, "label_names": list(NAMES)[::-1]}
    arguments = config(tmp_path, "exchanged", tmp_path, student(), data=other)
    assert main(["test", *arguments, f"--ckpt_path={checkpoint}"]) == 2
    assert "in the same order" in capsys.readouterr().err


def test_labels_are_brought_into_the_order_of_the_student() -> None:
    labels = np.array([[1, 0], [np.nan, 1]], dtype=np.float32)
    projected = project_labels(labels, ("Edema", "Pneumonia"), ("Pneumonia", "Cardiomegaly", "Edema"))
    np.testing.assert_array_equal(projected, [[0, np.nan, 1], [1, np.nan, np.nan]])
    with pytest.raises(ValueError, match="share a finding"):
        project_labels(labels, ("Edema", "Pneumonia"), ("Malignant",))
