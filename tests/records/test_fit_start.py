"""A run folder belongs to one fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mmpkd.records import RunFolder, TrainingRecord
from mmpkd.records.checkpoint import SafeCheckpointIO
from mmpkd.records.fit_start import FitStart, fit_start

SETTINGS: dict[str, Any] = {
    "run": {"dir": "a", "monitor": "val/auroc_macro"},
    "model": {"init_args": {"compute": 0.1, "options": {}}},
    "ckpt_path": None,
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a training that was interrupted after its second save."""
    folder = RunFolder(tmp_path / "run")
    for step in (1, 2):
        SafeCheckpointIO().save_checkpoint({"step": step, "weights": torch.zeros(100)}, folder.last)
    folder.config.write_text(yaml.safe_dump(SETTINGS))
    return folder


def settings(name: str, value: object) -> dict[str, Any]:
    part, key = name.split(".")
    return {**SETTINGS, part: {**SETTINGS[part], key: value}}


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    assert fit_start(RunFolder(tmp_path), SETTINGS, None) == FitStart(None)
    assert fit_start(RunFolder(tmp_path), SETTINGS, Path("of_another.ckpt")) == FitStart(Path("of_another.ckpt"))


def test_the_same_settings_go_on_and_a_finished_training_is_left_alone(folder: RunFolder) -> None:
    assert fit_start(folder, SETTINGS, None) == FitStart(folder.last)
    assert fit_start(folder, settings("run.dir", "a/../a"), None) == FitStart(folder.last)  # written in another way
    folder.update(status="trained", training=TrainingRecord(1, 2, 0.0))
    for given in (None, folder.last):
        assert fit_start(folder, SETTINGS, given) == FitStart(None, is_complete=True)


def test_a_checkpoint_that_leads_nowhere_is_left_to_who_reads_it(folder: RunFolder, tmp_path: Path) -> None:
    loop = tmp_path / "loop.ckpt"
    loop.symlink_to(loop)
    assert fit_start(RunFolder(tmp_path), SETTINGS, loop) == FitStart(loop)
    # the same checkpoint by another way is one of the folder
    (tmp_path / "link").symlink_to(folder.path)
    assert fit_start(folder, SETTINGS, tmp_path / "link" / "checkpoints" / "last.ckpt") == FitStart(folder.last)


def test_other_settings_are_refused_and_named(folder: RunFolder) -> None:
    other = settings("model.init_args", {"compute": 0.2, "options": {"depth": 1}})
    with pytest.raises(ValueError, match=r"'.*run' to be empty") as error:
        fit_start(folder, other, None)
    assert "model.init_args.compute was 0.1 and is 0.2" in str(error.value)
    assert "model.init_args.options.depth was None and is 1" in str(error.value)
    assert f"--ckpt_path={folder.last}" in str(error.value)
    with pytest.raises(ValueError, match=r"the new one starts from 'of_another.ckpt'"):
        fit_start(folder, SETTINGS, Path("of_another.ckpt"))
    folder.config.unlink()
    with pytest.raises(ValueError, match=r"config.yaml was None and is unknown"):
        fit_start(folder, SETTINGS, None)


def test_who_names_the_checkpoint_goes_on_with_other_settings(
    folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "mmpkd"):
        start = fit_start(folder, settings("run.monitor", "val/f1_macro"), folder.last)
    assert start == FitStart(folder.last)
    assert "run.monitor was val/auroc_macro and is val/f1_macro" in caplog.text
    assert fit_start(folder, settings("run.monitor", "x"), folder.previous) == FitStart(folder.previous)


@pytest.mark.parametrize("kind", ["empty", "half", "flipped bit", "gone"])
@pytest.mark.parametrize("is_named", [False, True])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    kind: str, is_named: bool, folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder.last, kind)
    with caplog.at_level("WARNING", "mmpkd"):
        start = fit_start(folder, SETTINGS, folder.last if is_named else None)
    assert start.checkpoint == folder.previous
    assert torch.load(folder.previous, weights_only=True)["step"] == 1
    assert (f"'{folder.last}' is damaged" in caplog.text) == (kind != "gone")
    if kind == "gone":
        return
    with pytest.raises(ValueError, match=r"'.*last.ckpt' is damaged, or not a checkpoint. Restore it from a copy"):
        SafeCheckpointIO().load_checkpoint(folder.last)
    damage(folder.previous, kind)
    with pytest.raises(ValueError, match=r"but all in '.*checkpoints' are damaged. Delete the folder"):
        fit_start(folder, SETTINGS, None)


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "gone":
        path.unlink()
        return
    if kind == "flipped bit":
        content[content.index(bytes(400)) + 200] ^= 1  # a weight; PyTorch itself reads it without a word
    path.write_bytes({"empty": b"", "half": bytes(content[: len(content) // 2])}.get(kind, bytes(content)))


def test_a_damaged_configuration_is_named(folder: RunFolder) -> None:
    folder.config.write_text("run: [")
    with pytest.raises(ValueError, match=r"Expected YAML in '.*config.yaml' but got: .* Fix or restore the file"):
        fit_start(folder, SETTINGS, None)


def test_a_folder_with_settings_of_former_names_is_refused(folder: RunFolder) -> None:
    before = {
        "class_path": "mmpkd.modules.DistillationModule",
        "init_args": {"lr": 0.1, "student": "vit", "teacher": None},
    }
    folder.config.write_text(yaml.safe_dump({"model": before}))
    with pytest.raises(ValueError, match=r"model\.lr is now model\.optimizer\.lr.* at commit fdf56a5"):
        fit_start(folder, SETTINGS, folder.last)
    now = {"class_path": "mmpkd.modules.DistillationModule", "init_args": {"student": {"init_args": {}}, "teacher": {}}}
    folder.config.write_text(yaml.safe_dump({"model": now}))
    assert fit_start(folder, {"model": now}, None) == FitStart(folder.last)
