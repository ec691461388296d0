"""A fit and a study check their data before anything is trained, the study once."""

import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from data_modules.checks.report import Problem
from mmpkd.callbacks import data_check
from mmpkd.callbacks.data_check import DataCheck
from mmpkd.cli.data_config import DataSettings
from mmpkd.cli.error_lines import user_error
from mmpkd.cli.lightning_cli import main as lightning
from mmpkd.commands.main import main
from mmpkd.modules import DistillationModule
from mmpkd.numerics import processes
from mmpkd.students import VisionTransformerStudent
from mmpkd.study.execution.data_check import check_data_of, data_arguments
from mmpkd.study.execution.likeness import Likeness
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.flags import parse_flags
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.plan.study_plan import Arm, External
from tests.runs import config, student
from tests.study.tiny_study import study_arguments, write_tiny_study
from tests.tiny import TinyDataModule


def say(root: Path, stage: str = "fit", constant: str = "", limits: Mapping[str, float] = MappingProxyType({})) -> None:
    """Check the tiny data, with a constant label in one of the splits."""
    data = TinyDataModule(str(root))
    data.serve(load_images=True, load_privileged=False)
    splits = dict(data.splits)
    if constant:
        label = splits[constant].label.copy()
        label[:, 0] = 1
        splits[constant] = replace(splits[constant], label=label)
    data._splits = splits
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **limits)  # type: ignore[arg-type]
    trainer.datamodule = data  # type: ignore[attr-defined]
    DataCheck().setup(
        trainer, DistillationModule(VisionTransformerStudent("vit_nano_patch8_64", 2, 32, options={"depth": 1})), stage
    )


def own_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "mmpkd"]


def test_sound_data_need_no_word(tiny_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    say(tiny_root)
    assert not own_records(caplog)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_fit_of_a_label_without_both_values_is_refused(tiny_root: Path, split: str) -> None:
    with pytest.raises(ValueError, match=f"data without errors but got labels in {split}: .* 'Left Finding'"):
        say(tiny_root, constant=split)
    say(tiny_root, "validate", split)


@pytest.mark.parametrize(
    ("split", "limits"),
    [
        ("test", {}),
        ("val", {"limit_val_batches": 2}),
        ("val", {"limit_val_batches": 0.5}),
        ("train", {"limit_train_batches": 1}),
        ("val", {"fast_dev_run": 1}),
    ],
)
def test_a_test_split_and_a_trial_only_need_a_word(
    tiny_root: Path, caplog: pytest.LogCaptureFixture, split: str, limits: dict[str, float]
) -> None:
    say(tiny_root, constant=split, limits=limits)
    (record,) = own_records(caplog)
    assert record.levelname == "WARNING"
    assert f"labels in {split}" in record.message


@pytest.mark.parametrize("constant", ["", "val"])
def test_the_first_process_checks_and_all_fail_with_its_words(
    tiny_root: Path, constant: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other process of this group gets what the first one sends."""
    sent: list[object] = []
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    found = []
    for rank, exchange in (
        (0, lambda values: sent.extend(values)),
        (1, lambda values: values.__setitem__(slice(2), sent)),
    ):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(torch.distributed, "broadcast_object_list", exchange)
        if rank:
            monkeypatch.setattr(data_check, "quick_problems", refuse)
        if constant:
            with pytest.raises(ValueError, match="Expected data without errors but got labels in val") as raised:
                say(tiny_root, constant=constant)
            found.append(user_error(raised.value))
        else:
            say(tiny_root)
    assert found == found[:1] * len(found)
    assert None not in found  # one line in each process
    assert not own_records(caplog)


def refuse(*_: object) -> None:
    raise AssertionError("checked again")


TABLE = {
    "image_column": "file",
    "label_columns": ["ill"],
    "sample_column": "id",
    "patient_column": "patient",
    "image_size": 32,
    "batch_size": 2,
}


def write_table(root: Path, rows: int = 12) -> dict[str, object]:
    """Write a table of images of which two do not exist, and one label has one value; return the data module."""
    lines = [f"s{i},p{i},{i}.png,{'train' if i < 6 else 'val' if i < 9 else 'test'},1" for i in range(rows)]
    (root / "table.csv").write_text("\n".join(["id,patient,file,split,ill", *lines]))
    for i in range(2, rows):
        (root / f"{i}.png").write_bytes(b"never opened")
    return {
        "class_path": "data_modules.table.TableDataModule",
        "init_args": {"root": str(root), "path": "table.csv", **TABLE},
    }


def test_a_fit_lists_errors_and_ends_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    arguments = config(tmp_path, "run", tmp_path, student(), data=write_table(tmp_path))
    assert main(["fit", *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mmpkd fit:")]
    assert "Expected data without errors but got labels in train" in line
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert [error.split(":")[1].strip() for error in errors] == ["labels in train", "labels in val", "files in train"]
    assert "s0" not in caplog.text  # logs may leave this machine
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_a_study_stops_before_its_first_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_study(tmp_path, tmp_path)
    path = tmp_path / "distill.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "data": write_table(tmp_path)}))
    assert main(study_arguments(tmp_path)) == 2
    assert "mmpkd study: Expected data without errors but got labels in train" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*/seed*"))


def test_a_study_of_test_samples_stops_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_study(tmp_path, tmp_path)
    data = write_table(tmp_path)
    table = tmp_path / "table.csv"
    # every sample has its image, and the label both values
    lines = [line.replace("train", "test").replace("val", "test") for line in table.read_text().splitlines()]
    table.write_text("\n".join([lines[0], *lines[3:-1], lines[-1][:-1] + "0"]))
    for path in (tmp_path / f"{name}.yaml" for name in ("teacher", "distill")):
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "data": data}))
    assert main(study_arguments(tmp_path)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mmpkd study:")]
    assert "Expected samples in train but the data set has none, only in test. Check data.split.column" in line


def test_a_study_checks_each_data_set_once(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[tuple[int, bool, str]] = []
    monkeypatch.setattr(
        "mmpkd.study.execution.data_check.check_served_data",
        lambda data, splits, said: checked.append((data.num_train, data.load_images, splits[0])),
    )
    write_tiny_study(tmp_path, tiny_root)
    path = tmp_path / "distill.yaml"
    content = yaml.safe_load(path.read_text())
    content["data"]["init_args"]["batch_size"] = 4  # the same samples
    path.write_text(yaml.safe_dump(content))
    plan = load_plan(tmp_path / "study.yaml")
    runs = plan_runs(plan, tmp_path / "out", (0, 1), ())
    read = check_data_of(runs)
    assert read.keys() == {run.folder for run in runs if run.arm.role == "student"}
    assert len(set(read.values())) == 1
    # a teacher opens no image
    expected = [(64, False, "train"), (64, True, "train")]
    assert checked == expected
    # the batch size is not what this is about
    baseline = replace(plan.arm("baseline"), overrides=("--data.num_train=32",), may_differ_in=("budget",))
    arms = tuple(baseline if arm.name == "baseline" else arm for arm in plan.arms)
    changed = replace(plan, arms=arms)
    runs = plan_runs(changed, tmp_path / "out", (0, 1), ())
    with pytest.raises(StudyError, match=r"distilled and baseline .* the same data but got, .* split to be read"):
        Likeness(changed, runs, check_data_of(runs)).check()
    assert checked == [*expected, expected[0], (32, True, "train"), expected[1]]


def test_a_warning_about_the_data_of_several_arms_is_said_once(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    problems = [Problem("warning", "labels", "test", text) for text in ("one is odd", "another is")]
    monkeypatch.setattr("mmpkd.callbacks.data_check.quick_problems", lambda data, used, tried: problems)
    write_tiny_study(tmp_path, tiny_root)
    plan = load_plan(tmp_path / "study.yaml")
    check_data_of(plan_runs(plan, tmp_path / "out", (0, 1), ()))
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"data: {problem}" for problem in problems]
    caplog.clear()
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(write_table(tmp_path)))
    external = replace(plan, external=(External("other", tmp_path / "other.yaml", ("baseline",)),))
    check_data_of(plan_runs(external, tmp_path / "out", (0, 1), ()))
    again = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert again == [*said, *said]  # of each data set


def test_a_study_needs_no_more_of_its_data_than_its_runs_read(
    tmp_path: Path, tiny_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither images for a teacher, nor privileged input or labels that training would want of another test set."""
    write_tiny_study(tmp_path, tiny_root)
    module = write_table(tmp_path)
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(module))
    plan = load_plan(tmp_path / "study.yaml")
    external = replace(plan, external=(External("other", tmp_path / "other.yaml", ("baseline",)),))
    runs = [run for run in plan_runs(external, tmp_path / "out", (0,), ()) if run.test_set]
    assert runs
    check_data_of(runs)
    teacher = tmp_path / "teacher.yaml"
    teacher.write_text(yaml.safe_dump({**yaml.safe_load(teacher.read_text()), "data": module}))
    with pytest.raises(ValueError, match="labels in train"):
        check_data_of([run for run in plan_runs(plan, tmp_path / "out", (0,), ()) if run.arm.role == "teacher"])
    assert "files in" not in caplog.text


@pytest.mark.parametrize("is_file_first", [True, False])
def test_settings_of_data_are_merged_as_the_command_line_does(tmp_path: Path, is_file_first: bool) -> None:
    (tmp_path / "data").mkdir()
    data = write_table(tmp_path)
    (tmp_path / "data" / "table.yaml").write_text(yaml.safe_dump(data))
    first = config(tmp_path, "first", tmp_path, student(), data="data/table.yaml")
    (tmp_path / "second.yaml").write_text(
        yaml.safe_dump({"data": {"init_args": {"where": "ill == 1", "batch_size": 4}}})
    )
    second = f"--config={tmp_path / 'second.yaml'}"
    own = ["--data.batch_size", "5", "--model.optimizer.lr=0.1", "--data.mean=0.4"]
    # a file overrides the flags before it
    flags = [*first, second, *own] if is_file_first else [*first, *own, second]
    arguments = data_arguments(Run(Arm("arm", (), "student"), 0, tmp_path, overrides=parse_flags(flags)))
    assert [word for word in arguments.flags if "lr" in word] == []
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit):
        lightning(["fit", *flags, "--print_config"])
    expected = yaml.safe_load(printed.getvalue())["data"]
    settings = DataSettings.parse(arguments.configs, arguments.flags)
    found = yaml.safe_load(settings.parser.dump(settings.values, skip_none=False))["data"]["init_args"]
    # the command line sets the seed to that of the run
    assert found == {"seed": 0, **expected["init_args"]}
    assert (found["batch_size"], found["mean"]) == (5 if is_file_first else 4, 0.4)
    assert settings.build().mean == pytest.approx(0.4)
