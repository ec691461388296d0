from pathlib import Path

import pytest
import torch

from tests.tiny import NAMES, TinyDataModule, tiny_student


@pytest.fixture(scope="package")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """A student of the tiny data set that has not learned anything, with thresholds that part its predictions."""
    torch.manual_seed(0)
    student = tiny_student()
    for parameter in student.model.head.parameters():
        parameter.data += torch.randn_like(parameter)
    data = TinyDataModule(str(tiny_root))
    dataset = data.dataset("test", True, False)
    student.eval()
    with torch.no_grad():
        logits = student(torch.stack([torch.from_numpy(dataset[0, row].image) for row in range(16)])).logits
    weights = {f"student.{name}": value for name, value in student.state_dict().items()}
    state = {**weights, "scores.thresholds": logits.sigmoid().median(0).values}
    seen = {"mean": 0.5, "std": 0.25, "preparation": data.preparation.describe()}
    path = tmp_path_factory.mktemp("student") / "student.ckpt"
    torch.save({"student": student.settings, "input": seen, "label_names": list(NAMES), "state_dict": state}, path)
    return path
