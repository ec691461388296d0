"""The options of the model: what the data set, what is short for what, and what is said of names that were once used."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml

from mmpkd.cli.lightning_cli import MMPKDCLI, main
from mmpkd.cli.short_forms import written_out
from mmpkd.cli.suggestions import suggestion
from mmpkd.losses import Objective
from mmpkd.modules import DistillationModule, TeacherModule
from mmpkd.modules.optimizer import OptimizerSettings
from mmpkd.records.renamed_settings import _PARTS, present_name
from mmpkd.students import VisionTransformerStudent
from mmpkd.teachers.controls import ShuffledTargets
from mmpkd.teachers.source import TeacherSource
from tests.runs import config, student, text_teacher
from tests.tiny import TinyDataModule

PARTS = {
    "student": VisionTransformerStudent,
    "teacher": TeacherSource,
    "objective": Objective,
    "optimizer": OptimizerSettings,
}
Build = Callable[..., Any]


class OtherData(TinyDataModule):
    """Data that differ from every default of a student."""

    in_chans = 3

    def __init__(self, root: str) -> None:
        super().__init__(root, image_size=40)
        self.label_names = ("A", "B", "C", "D")
        self.mean = 0.3
        self.std = 0.2


@pytest.fixture
def build(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Return a function that makes the model of a command and runs nothing."""
    made: list[MMPKDCLI] = []
    monkeypatch.setattr(MMPKDCLI, "_run_subcommand", lambda cli, _: made.append(cli))

    def build(model: dict[str, Any], *flags: str, data: type[TinyDataModule] = TinyDataModule) -> Any:
        of_data = {"class_path": f"{data.__module__}.{data.__name__}", "init_args": {"root": str(tiny_root)}}
        main(["fit", *config(tmp_path, "run", tiny_root, model, data=of_data), *flags])
        return made.pop().model

    return build


def test_what_the_data_know_reaches_the_student_whose_weights_are_those_of_its_seed(build: Build) -> None:
    made = build(student(), "--seed_everything=7", data=OtherData).student
    expected = {"num_classes": 4, "image_size": 40, "in_chans": 3}
    assert {name: made.settings[name] for name in expected} == expected
    assert (made.mean, made.std) == (0.3, 0.2)
    torch.manual_seed(7)
    weights = timm.create_model("vit_nano_patch8_64", num_classes=4, img_size=40, in_chans=3, depth=1).state_dict()
    assert made.model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in made.model.state_dict().items())


def test_what_the_data_know_reaches_the_teacher(build: Build) -> None:
    made = build(text_teacher(), data=OtherData)
    assert isinstance(made, TeacherModule)
    assert made.num_classes == 4


def test_a_path_replaces_that_of_the_teacher_and_nothing_else(build: Build, tmp_path: Path) -> None:
    control = {"class_path": "mmpkd.teachers.controls.ShuffledTargets"}
    changes = tmp_path / "changes.yaml"
    changes.write_text(yaml.safe_dump({"model": {"init_args": {"teacher": {"control": control}}}}))
    taught = student(teacher={"path": "a.ckpt"}, objective={"weight": 0.7})
    made = build(taught, f"--config={changes}", "--model.teacher", "b.ckpt", "--model.objective.mode=independent")
    assert isinstance(made, DistillationModule)
    assert made.teacher_source is not None
    assert made.teacher_source.path == "b.ckpt"
    assert isinstance(made.teacher_source.control, ShuffledTargets)
    assert (made.objective.weight(0.5), made.objective.mode) == (0.7, "independent")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--model.teacher=a"], ["--model.teacher.path=a"]),
        (["fit", "--model.teacher", "a", "--x"], ["fit", "--model.teacher.path", "a", "--x"]),
        (["--model.teacher=null"], ["--model.teacher=null"]),
        (["--model.teacher", '{"path": "a"}'], ["--model.teacher", '{"path": "a"}']),
        (["--model.teacher.path=a", "--model.teacher"], ["--model.teacher.path=a", "--model.teacher"]),
        (["--config", "{run: " + 300 * "x"], ["--config", "{run: " + 300 * "x"]),
    ],
)
def test_the_short_form_of_the_teacher(args: list[str], expected: list[str]) -> None:
    assert written_out(args) == expected


def test_every_former_name_leads_to_an_option_that_there_is() -> None:
    for part, names in _PARTS.items():
        assert set(names.values()) <= set(inspect.signature(PARTS[part]).parameters)
        for old, new in names.items():
            message = (
                f"Problem with given class_path 'mmpkd.modules.DistillationModule':\n  Option '{old}' is not accepted"
            )
            assert suggestion(message, {old}) == f" Did you mean --model.{part}.{new}?"
    assert present_name("mmpkd.losses.LogitMSE", "temperature") is None
    assert present_name("mmpkd.modules.TeacherModule", "temperature") is None
    assert present_name("mmpkd.modules.TeacherModule", "lr") == "model.optimizer.lr"
    assert present_name("mmpkd.teachers.TextEncoder", "revision") == "model.encoder.pretrained.revision"


@pytest.mark.parametrize(
    ("flag", "now"),
    [
        ("--model.lr=1", "--model.optimizer.lr"),
        ("--model.student_options.depth=1", "--model.student.options.depth"),
        ("--model.student=vit_tiny_patch16_224", "--model.student.model_name"),
    ],
)
def test_a_former_flag_is_refused_with_the_one_of_today(
    flag: str, now: str, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        build(student(), flag)
    assert f"Did you mean {now}? See" in capsys.readouterr().err


def test_a_misspelt_option_of_the_optimizer_is_not_taken_for_lightnings_own(
    build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        build(student(), "--model.optimizer.lrr=1")
    assert "Did you mean 'lr'?" in capsys.readouterr().err
