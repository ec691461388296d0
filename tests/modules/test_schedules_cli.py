"""Schedules, written in YAML, are followed and logged."""

from pathlib import Path

import pandas as pd
import pytest

from mmpkd.cli.lightning_cli import main
from mmpkd.losses.schedules import Schedule
from tests.runs import config, student, text_teacher


def test_weight_and_temperature_follow_the_schedules_of_the_configuration(tiny_root: Path, tmp_path: Path) -> None:
    main(["fit", *config(tmp_path, "teacher", tiny_root, text_teacher())])
    objective = {
        "weight": {"start": 0.8, "end": 0.2, "shape": "cosine", "warmup": 0.25},
        "temperature": {"start": 4.0, "end": 1.0},
    }
    teacher = {"path": str(tmp_path / "teacher" / "checkpoints" / "best.ckpt")}
    model = student(teacher=teacher, objective=objective)
    main(["fit", *config(tmp_path, "student", tiny_root, model, trainer={"log_every_n_steps": 1})])
    logged = pd.read_csv(tmp_path / "student" / "metrics.csv")
    weight, temperature = Schedule(0.8, 0.2, "cosine", 0.25), Schedule(4.0, 1.0)
    for name, schedule in (("distillation_weight", weight), ("temperature", temperature)):
        values = logged[logged["name"] == f"train/{name}"].sort_values("step")["value"].tolist()
        assert len(values) == 16
        assert values == pytest.approx([schedule(step / 16) for step in range(16)])
