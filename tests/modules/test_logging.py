"""When the terms of the training loss are logged."""

from pathlib import Path

import pandas as pd
import pytest

from mmpkd.cli.lightning_cli import main
from tests.runs import config, student


def test_a_logged_value_is_that_of_its_step(tiny_root: Path, tmp_path: Path) -> None:
    # 64 samples in batches of 8: 8 steps an epoch, 16 in all, and a weight that tells the step
    control = {"class_path": "mmpkd.teachers.controls.LabelOracle"}
    settings = student(teacher={"control": control}, objective={"weight": {"start": 0.0, "end": 1.0}})
    main(["fit", *config(tmp_path, "run", tiny_root, settings, trainer={"log_every_n_steps": 3})])
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    weight = metrics[metrics["name"] == "train/distillation_weight"]
    assert weight["step"].tolist() == [2, 5, 8, 11, 14]
    for step, value in zip(weight["step"], weight["value"], strict=True):
        assert value == pytest.approx(step / 16)


def test_epochs_shorter_than_the_interval_are_logged_too(tiny_root: Path, tmp_path: Path) -> None:
    main(["fit", *config(tmp_path, "run", tiny_root, student(), trainer={"log_every_n_steps": 10})])
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert metrics[metrics["name"] == "train/loss"]["step"].tolist() == [9]


def test_a_training_without_an_end_is_refused(tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trainer\.max_epochs"):
        main(["fit", *config(tmp_path, "run", tiny_root, student(), trainer={"max_epochs": -1})])
