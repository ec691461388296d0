"""The real command line, in process: teacher, distillation, test."""

import csv
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from mmpkd.cli.lightning_cli import main
from mmpkd.cli.suggestions import suggestion
from mmpkd.commands.main import OWN_COMMANDS
from mmpkd.commands.main import main as entry
from mmpkd.records import RunFolder
from mmpkd.records.tables import read_table
from tests.forked import finish, start
from tests.runs import config, data, student, text_teacher


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """Folder of a teacher and a student distilled from it, trained and tested."""
    folder = tmp_path_factory.mktemp("runs")
    teacher = config(folder, "teacher", tiny_root, text_teacher(), run={"wandb": "offline", "job_type": "teacher"})
    assert entry(["fit", *teacher]) == 0
    path = folder / "teacher" / "checkpoints" / "best.ckpt"
    monitor = [{"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"}]
    arguments = config(
        folder,
        "distilled",
        tiny_root,
        student(teacher={"path": str(path)}, objective={"weight": 0.3}),
        run={"wandb": "offline", "group": "study", "job_type": "distilled", "tags": ["tiny"]},
        trainer={"callbacks": monitor},
    )
    assert entry(["fit", *arguments, "--model.objective.weight=0.7", "--seed_everything=3"]) == 0
    best = folder / "distilled" / "checkpoints" / "best.ckpt"
    assert entry(["test", *arguments, "--seed_everything=3", "--ckpt_path", str(best)]) == 0
    return folder


def test_teacher_distillation_and_test_leave_everything_in_their_folders(runs: Path) -> None:
    distilled = runs / "distilled"
    for name in ("config.yaml", "metrics.csv", "run.json", "roi_test.parquet"):
        assert (distilled / name).is_file(), name
    state = RunFolder(distilled).state
    assert state is not None
    assert (state.status, state.seed, state.job_type) == ("tested", 3, "distilled")
    assert state.training is not None
    assert state.test is not None
    assert 0 <= (state.test.metrics["test/auroc_macro"] or -1) <= 1
    assert state.test.data["test"]["samples"] == 16
    digest = hashlib.sha256((distilled / "checkpoints" / "best.ckpt").read_bytes()).hexdigest()
    tables = [read_table(distilled / name).checkpoint for name in ("predictions_test.parquet", "roi_test.parquet")]
    assert [state.training.checkpoint, state.test.checkpoint, *tables] == [digest] * 4
    assert read_table(distilled / "predictions_val.parquet").checkpoint is None
    predictions = pd.read_parquet(distilled / "predictions_test.parquet")
    assert set(predictions["sample_id"]) == {f"test{i}" for i in range(16)}


def test_flags_win_over_the_configuration_and_both_are_recorded(runs: Path) -> None:
    saved = yaml.safe_load((runs / "distilled" / "config.yaml").read_text())
    assert saved["model"]["init_args"]["objective"]["init_args"]["weight"] == 0.7
    assert saved["seed_everything"] == 3


def test_lineage_names_the_teacher_by_its_hash(runs: Path) -> None:
    state = RunFolder(runs / "distilled").state
    assert state is not None
    lineage = state.made_from
    assert lineage is not None
    best = runs / "teacher" / "checkpoints" / "best.ckpt"
    assert lineage.teacher_sha256 == hashlib.sha256(best.read_bytes()).hexdigest()
    assert set(lineage.splits) == {"train", "val", "test"}
    assert lineage.license == "synthetic"  # of a data module that is not ours


def test_metrics_of_fit_and_test_are_in_one_file(runs: Path) -> None:
    rows = list(csv.DictReader((runs / "distilled" / "metrics.csv").open()))
    names = {row["name"] for row in rows}
    assert {"train/loss", "train/task", "train/distillation", "val/auroc_macro", "test/auroc_macro"} <= names
    assert "val/rollout/pointing_game" in names


def test_the_saved_configuration_runs_again(runs: Path, tmp_path: Path) -> None:
    """It holds none of the settings that a run takes from its data or its seed, which would be refused."""
    saved = yaml.safe_load((runs / "distilled" / "config.yaml").read_text())
    saved["run"]["dir"] = str(tmp_path / "again")
    saved["run"]["wandb"] = "disabled"
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(saved))
    main(["fit", "--config", str(path)])
    weights = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (runs / "distilled", tmp_path / "again")
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_without_a_checkpoint_the_best_model_of_the_run_is_scored(
    runs: Path, tiny_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(runs / "distilled" / "checkpoints", tmp_path / "run" / "checkpoints")
    with caplog.at_level("INFO", "mmpkd"):
        main(["test", *config(tmp_path, "run", tiny_root, student())])
    assert f"test: {tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}" in caplog.text
    tables = [pd.read_parquet(folder / "predictions_test.parquet") for folder in (tmp_path / "run", runs / "distilled")]
    name = "probability/Left Finding"
    pd.testing.assert_series_equal(tables[0][name], tables[1][name])


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_an_untrained_model_is_not_scored(command: str, tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Train it first, or pass --ckpt_path"):
        main([command, *config(tmp_path, "run", tiny_root, student())])
    assert not (tmp_path / "run").exists()


def test_predict_reads_images_only(runs: Path, tiny_root: Path, tmp_path: Path) -> None:
    best = runs / "distilled" / "checkpoints" / "best.ckpt"
    main(["predict", *config(tmp_path, "predict", tiny_root, student()), "--ckpt_path", str(best)])
    predicted = pd.read_parquet(tmp_path / "predict" / "predictions_predict.parquet")
    tested = pd.read_parquet(runs / "distilled" / "predictions_test.parquet")
    name = "probability/Left Finding"
    pd.testing.assert_series_equal(predicted[name], tested[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--model.objective.normalizer=batch", "normaliser"),
        ("--data.batchsize=4", "batch_size"),
        ("--trainer.max_epohcs=4", "max_epochs"),
    ],
)
def test_a_misspelt_option_is_refused_with_a_suggestion(
    flag: str, hint: str, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["fit", *config(tmp_path, "run", tiny_root, student()), flag])
    assert error.value.code == 2
    assert f"'{hint}'" in capsys.readouterr().err.rsplit("Did you mean", 1)[-1]


def test_a_misspelt_key_in_a_file_is_refused_with_a_suggestion(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["fit", *config(tmp_path, "run", tiny_root, student(objective={"label_smoothign": 0.3}))])
    assert error.value.code == 2
    assert "'label_smoothing'" in capsys.readouterr().err.rsplit("Did you mean", 1)[-1]


def test_a_message_without_an_unknown_option_gets_no_suggestion() -> None:
    assert suggestion("something else went wrong", {"lr"}) == ""


def test_a_missing_teacher_is_an_error_before_any_training(tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Train the teacher first"):
        main(["fit", *config(tmp_path, "run", tiny_root, student(teacher={"path": "nowhere.ckpt"}))])
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_linked_value_follows_the_data(tiny_root: Path, tmp_path: Path) -> None:
    main(["fit", *config(tmp_path, "run", tiny_root, student(), data=data(tiny_root, image_size=64))])
    saved = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["student"]["image_size"] == 64
    assert saved["student"]["num_classes"] == 2
    assert "hyper_parameters" not in saved  # they would silently win over flags


def test_unknown_commands_are_refused_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["fitt"]) == 2
    assert "Did you mean 'fit'?" in capsys.readouterr().err


def test_help_and_version_import_nothing_that_is_slow() -> None:
    program = """
import sys
from mmpkd.commands.main import OWN_COMMANDS, main
assert main(["--help"]) == main(["--version"]) == main([]) == 0
for command in OWN_COMMANDS:
    try:
        main([command, "--help"])
    except SystemExit as error:
        assert error.code == 0
slow = {"numpy", "torch", "pandas", "lightning", "jsonargparse", "wandb"} & set(sys.modules)
assert not slow, slow
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(f"usage: mmpkd {command}" in result.stdout for command in OWN_COMMANDS)


@pytest.mark.parametrize("command", [*sorted(OWN_COMMANDS), "targets build", "targets show"])
def test_a_shortened_option_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It would mean something else as soon as there is another option that begins like it."""
    with pytest.raises(SystemExit) as error:
        entry([*command.split(), "--hel"])
    assert error.value.code == 2
    capsys.readouterr()


def test_the_terminal_shows_nothing_that_a_user_can_do_nothing_about(tiny_root: Path, tmp_path: Path) -> None:
    arguments = config(tmp_path, "run", tiny_root, student(), trainer={"max_epochs": 1})
    log = tmp_path / "log.txt"
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert finish(start(["fit", *arguments], log)) == 0
    # again, from where it stopped
    assert finish(start(["fit", *arguments, "--trainer.max_epochs=2", "--ckpt_path", str(last)], log)) == 0
    assert re.findall(r"epoch \d of \d", log.read_text()) == ["epoch 1 of 1", "epoch 2 of 2"]
    again = ["resumes with changed settings: trainer.max_epochs was 1 and is 2", f"resumes from {last}"]
    said = [line.split(" ", 1)[1] for line in log.read_text().splitlines() if "epoch " not in line]
    best = re.escape(str(tmp_path / "run" / "checkpoints" / "best.ckpt"))
    trained = rf"trained: {best} \(val/auroc_macro [01]\.\d{{4}}\)"
    assert re.fullmatch(trained, said[0])
    assert said[1:3] == again
    assert re.fullmatch(trained, said[3])
    assert len(log.read_text().splitlines()) == 6


def test_identifiers_are_hashed_on_request_in_all_that_a_run_writes(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callbacks = [
        {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor", "init_args": {"test_attributions": []}},
        {"class_path": "mmpkd.callbacks.localization.AttributionMapLogger"},
    ]
    arguments = config(
        tmp_path, "run", tiny_root, student(), run={"hash_ids": True}, trainer={"callbacks": callbacks, "max_epochs": 1}
    )
    monkeypatch.delenv("MMPKD_ID_KEY", raising=False)
    with pytest.raises(ValueError, match="MMPKD_ID_KEY"):
        main(["fit", *arguments])
    monkeypatch.setenv("MMPKD_ID_KEY", "secret")
    main(["fit", *arguments])
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    main(["test", *arguments, "--ckpt_path", str(best)])
    for name in ("predictions_test.parquet", "roi_test.parquet"):
        table = pd.read_parquet(tmp_path / "run" / name)
        assert table["sample_id"].str.fullmatch("[0-9a-f]{16}").all()
        assert table["patient_id"].str.fullmatch("[0-9a-f]{16}").all()
    names = [path.stem for path in (tmp_path / "run" / "maps" / "test").glob("*.png")]
    assert names
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)


@pytest.mark.parametrize("monitor", ["val/rollout/iou_top_area", "val/last_layer/pointing_game", "train/loss"])
def test_localization_cannot_choose_a_checkpoint(monitor: str, tiny_root: Path, tmp_path: Path) -> None:
    arguments = config(tmp_path, "run", tiny_root, student())
    with pytest.raises(ValueError, match=r"Expected run\.monitor to be a classification score on the validation split"):
        main(["fit", *arguments, f"--run.monitor={monitor}"])
