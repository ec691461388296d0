"""Labels that cannot be learned or scored are named before a run starts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch import Trainer

from data_modules.base import PrivilegedDataModule
from mmpkd.callbacks.label_check import LabelCheck
from mmpkd.cli.lightning_cli import main
from mmpkd.modules import ClassificationModule, DistillationModule, TeacherModule
from mmpkd.teachers import TextEncoder
from tests.runs import config, student
from tests.tiny import TinyDataModule, tiny_student

NAN = float("nan")
BASELINE = DistillationModule(tiny_student())


def say(
    root: Path,
    labels: dict[str, list[float]],
    monitor: str = "val/auroc_macro",
    stage: str = "fit",
    module: ClassificationModule = BASELINE,
    **options: float,
) -> None:
    """Check the tiny data, where some labels have one value: column by split and its value."""
    data: PrivilegedDataModule = TinyDataModule(str(root))
    splits = dict(data.splits)
    for name, values in labels.items():
        label = np.where(np.isnan(values), splits[name].label, np.array(values, np.float32))
        splits[name] = replace(splits[name], label=label.astype(np.float32))
    data._splits = splits
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)  # type: ignore[arg-type]
    trainer.datamodule = data  # type: ignore[attr-defined]
    LabelCheck(monitor).setup(trainer, module, stage)


def test_complete_labels_need_no_word(tiny_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    say(tiny_root, {})
    assert "Expected positive and negative samples" not in caplog.text


def test_a_constant_label_is_named_with_its_split_in_one_line(
    tiny_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say(tiny_root, {"train": [0, NAN], "val": [NAN, 1]})
    (line,) = [
        record.message for record in caplog.records if "Expected positive and negative samples" in record.message
    ]
    assert "'Left Finding' is always 0 in train, 'Right Finding' is always 1 in val" in line
    caplog.clear()
    say(tiny_root, {"test": [1, 1]}, stage="test")
    assert "'Left Finding' is always 1 in test, 'Right Finding' is always 1 in test" in caplog.text


def test_a_fit_that_nothing_could_be_chosen_by_is_refused(tiny_root: Path) -> None:
    with pytest.raises(
        ValueError, match=r"val/auroc_macro needs .* 'Left Finding' is always 0, 'Right Finding' is always 1"
    ):
        say(tiny_root, {"val": [0, 1]})
    with pytest.raises(ValueError, match=r"val/f1/left_finding needs .* but 'Left Finding' is always 0"):
        say(tiny_root, {"val": [0, NAN]}, "val/f1/left_finding")
    # what is not validated chooses nothing
    say(tiny_root, {"val": [0, 1]}, limit_val_batches=0)
    say(tiny_root, {"val": [0, NAN]}, "val/f1/right_finding")


def test_a_teacher_is_judged_on_the_samples_that_it_can_read(
    tiny_root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = TeacherModule(TextEncoder(width=8, num_heads=1), 2)
    data = TinyDataModule(str(tiny_root))
    split = data.splits["val"]
    # only samples without a report have a left finding
    split = replace(split, has_privileged=split.label[:, 0] == 0)
    monkeypatch.setattr(TinyDataModule, "read_splits", lambda _: {**data.splits, "val": split})
    say(tiny_root, {}, module=BASELINE)
    assert "Expected positive and negative samples" not in caplog.text
    say(tiny_root, {}, module=teacher)
    assert "'Left Finding' is always 0 in val" in caplog.text


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_a_run_whose_monitor_is_never_defined_leaves_strict_json(tiny_root: Path, tmp_path: Path) -> None:
    # the data have both values, but one sample does not
    short = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "limit_test_batches": 1}
    arguments = config(tmp_path, "run", tiny_root, student(), trainer=short)
    main(["fit", *arguments, "--data.batch_size=1"])
    main(["test", *arguments, "--data.batch_size=1"])
    files = list((tmp_path / "run").rglob("*.json"))
    read = {path.name: json.loads(path.read_text(), parse_constant=refuse) for path in files}
    state = read["run.json"]
    assert state["training"]["best_score"] is None
    assert state["test"]["metrics"]["test/auroc_macro"] is None
    assert state["test"]["metrics"]["test/num_classes_evaluated"] == 0
