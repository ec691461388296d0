"""Settings of Lightning's trainer: each has its effect, or is refused by name."""

import json
import logging
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    DeviceStatsMonitor,
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    RichProgressBar,
    StochasticWeightAveraging,
    Timer,
    TQDMProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.profilers import SimpleProfiler

from mmpkd.callbacks.ema import EMA
from mmpkd.callbacks.localization import AttributionMapLogger, FaithfulnessMonitor, LocalizationMonitor
from mmpkd.callbacks.progress import EpochLog
from mmpkd.cli.checks.callbacks import users_callbacks
from mmpkd.cli.checks.trainer import check_monitor, check_seed, check_trainer
from mmpkd.cli.checks.trainer_parts import users_loggers, users_plugins
from mmpkd.cli.lightning_cli import MMPKDCLI, main
from mmpkd.cli.terminal import quieten
from mmpkd.records import RunFolder
from tests.runs import config, student

CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
CSV = "lightning.pytorch.loggers.CSVLogger"


def fit(folder: Path, tiny_root: Path, *flags: str, **trainer: Any) -> Path:
    trainer = {"max_epochs": 1, "limit_val_batches": 1, **trainer}
    main(["fit", *config(folder, "run", tiny_root, student(), trainer=trainer), *flags])
    return folder / "run"


def settings(**changed: Any) -> SimpleNamespace:
    defaults = {name: parameter.default for name, parameter in signature(Trainer.__init__).parameters.items()}
    return SimpleNamespace(**{**defaults, "use_distributed_sampler": False, **changed})


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ({"default_root_dir": "elsewhere"}, "Set --run.dir"),
        ({"enable_checkpointing": False}, "tests need `best.ckpt`"),
        ({"use_distributed_sampler": True}, "the data module itself distributes samples"),
        ({"model_registry": "mine"}, "a run does not upload checkpoints"),
        ({"barebones": True}, "Leave it out"),
        ({"strategy": "fsdp"}, "Set auto or ddp"),
        ({"strategy": "deepspeed_stage_3_offload"}, "Set auto or ddp"),
        ({"strategy": SimpleNamespace(class_path="lightning.pytorch.strategies.FSDPStrategy")}, "FSDPStrategy"),
        ({"strategy": SimpleNamespace(class_path="lightning.pytorch.strategies.ModelParallelStrategy")}, "auto or ddp"),
        ({"strategy": "ddp_spawn"}, "Set auto or ddp"),
        ({"log_every_n_steps": -1}, "log_every_n_steps >= 0"),
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches >= 1"),
        ({"gradient_clip_val": -1.0}, "gradient_clip_val >= 0"),
        ({"check_val_every_n_epoch": 0}, "a validation chooses `best.ckpt`"),
        ({"val_check_interval": 0}, "a validation chooses `best.ckpt`"),
        ({"val_check_interval": -0.5}, "a validation chooses `best.ckpt`"),
        ({"limit_val_batches": 0}, "a validation chooses `best.ckpt`"),
        ({"check_val_every_n_epoch": 3, "max_epochs": 2}, "without a validation there is no `best.ckpt`"),
        ({"max_epochs": 0}, "set --trainer.limit_train_batches=0"),
        ({"max_steps": 0}, "set --trainer.limit_train_batches=0"),
        ({"min_epochs": 3, "max_epochs": 2}, "of at most 2, trainer.max_epochs"),
        ({"min_steps": 3, "max_steps": 2}, "of at most 2, trainer.max_steps"),
    ],
)
def test_what_would_be_ignored_or_do_harm_is_refused(setting: dict[str, Any], advice: str) -> None:
    with pytest.raises(ValueError, match=f"^Expected .*{next(iter(setting))}") as error:
        check_trainer(settings(**setting), "fit")
    assert advice in str(error.value)


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_command_without_anything_to_do_is_refused(command: str) -> None:
    short = {"validate": "val"}.get(command, command)
    with pytest.raises(
        ValueError, match=rf"Expected trainer\.limit_{short}_batches above 0 but got 0: `mmpkd {command}`"
    ):
        check_trainer(settings(**{f"limit_{short}_batches": 0}), command)


@pytest.mark.parametrize("seed", [True, False, -1, 2**32])
def test_a_run_has_one_seed_that_numpy_takes(seed: int) -> None:
    check_seed(2**32 - 1)
    with pytest.raises(ValueError, match=rf"Expected seed_everything to be a number in .* but got {seed}\."):
        check_seed(seed)


def test_lightnings_own_defaults_are_accepted() -> None:
    for command in ("fit", "validate", "test", "predict"):
        check_trainer(settings(), command)


def test_a_refused_setting_ends_the_command_before_anything_is_made(tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Set auto or ddp"):
        fit(tmp_path, tiny_root, "--model.student.model_name=no_such_model", strategy="fsdp")


def test_other_ways_to_write_checkpoints_and_to_use_wandb_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a run has its own, which writes atomically"):
        users_plugins([AsyncCheckpointIO()])
    assert users_plugins(None) == []
    with pytest.raises(ValueError, match=r"Set --run\.wandb"):
        users_loggers([WandbLogger(save_dir=tmp_path, offline=True)])
    assert users_loggers(True) == users_loggers(None) == []


@pytest.mark.parametrize(
    ("callback", "advice"),
    [
        (GradientAccumulationScheduler({0: 2}), "--trainer.accumulate_grad_batches"),
        (StochasticWeightAveraging(0.01), "--trainer.callbacks+=EMA"),
        (WeightAveraging(), "--trainer.callbacks+=EMA"),
        (EMAWeightAveraging(), "--trainer.callbacks+=EMA"),
        (LearningRateFinder(), "--model.optimizer.lr"),
        (BatchSizeFinder(), "--data.batch_size"),
        (ModelPruning("l1_unstructured"), "Prune the student after training"),
        (Timer("00:00:01:00"), "--trainer.max_time"),
        (TQDMProgressBar(), "--trainer.enable_progress_bar"),
        (RichProgressBar(), "--trainer.enable_progress_bar"),
    ],
)
def test_a_callback_that_would_change_what_is_recorded_is_refused(callback: Callback, advice: str) -> None:
    with pytest.raises(ValueError, match=f"^Expected no {type(callback).__name__} in trainer.callbacks") as error:
        users_callbacks([EMA(), callback])
    assert advice in str(error.value)


def test_a_refused_callback_ends_the_command_before_its_settings_are_compared(tiny_root: Path, tmp_path: Path) -> None:
    timer = {"class_path": "lightning.pytorch.callbacks.Timer"}  # its default interval has no form in YAML
    for callbacks in (timer, [timer]):
        with pytest.raises(ValueError, match=r"Set --trainer\.max_time"):
            fit(tmp_path, tiny_root, callbacks=callbacks)
    assert not (tmp_path / "run").exists()


def test_two_callbacks_that_save_the_same_state_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected one EMA in trainer\.callbacks but got 2"):
        users_callbacks([EMA(), LocalizationMonitor(), EMA(0.5)])
    twice = [ModelCheckpoint(monitor="a"), ModelCheckpoint(monitor="b")]
    assert users_callbacks(twice) == twice


def test_a_training_stops_neither_by_localization_nor_because_it_improves() -> None:
    monitor = LocalizationMonitor()
    for name in ("val/rollout/iou_otsu", "val/last_layer/union/pointing_game"):
        with pytest.raises(ValueError, match="Localization must not be used"):
            users_callbacks([EarlyStopping(name, mode="max"), monitor])
    for name in ("val/auroc_macro", "val/f1/left_finding", "val/auprc/right_finding"):
        with pytest.raises(ValueError, match="it would stop a training that improves"):
            users_callbacks([EarlyStopping(name)])
    allowed = [
        EarlyStopping("val/auroc_macro", mode="max"),
        EarlyStopping("val/ece_macro"),
        EarlyStopping("train/loss"),
    ]
    assert users_callbacks([*allowed, monitor]) == [*allowed, monitor]


@pytest.mark.parametrize("label", ["pleural_effusion", "edema"])
def test_the_monitor_names_a_label_that_there_is(label: str) -> None:
    check_monitor(f"val/auroc/{label}", ["Pleural Effusion", "Edema"])
    with pytest.raises(ValueError, match=r"but got \['val/auroc/.*Did you mean 'val/auroc/mass'"):
        check_monitor(f"val/auroc/{label}", ["Mass"])


@pytest.mark.parametrize(
    ("max_steps", "validated", "more"),
    [
        (3, [3], {}),
        (11, [8, 11], {}),
        (3, [3], {"min_epochs": 2}),
        (11, [11], {"max_epochs": 5, "check_val_every_n_epoch": 4}),
        (20, [16, 20], {"max_epochs": 5, "check_val_every_n_epoch": 2}),
    ],
)
def test_a_training_that_ends_within_an_epoch_is_validated_and_has_a_best_checkpoint(
    max_steps: int, validated: list[int], more: dict[str, int], tiny_root: Path, tmp_path: Path
) -> None:
    run = fit(tmp_path, tiny_root, max_steps=max_steps, log_every_n_steps=1, **{"max_epochs": 5, **more})
    logged = pd.read_csv(run / "metrics.csv")
    scores = logged[logged["name"] == "val/auroc_macro"]
    assert (scores["step"] + 1).tolist() == validated
    summary = json.loads((run / "run.json").read_text())["training"]
    assert summary["steps"] == max_steps
    assert summary["best_score"] == pytest.approx(scores["value"].max())
    assert (run / "checkpoints" / "best.ckpt").is_file()


def test_a_training_without_any_validation_is_an_error(tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Expected a validation, which chooses `best\.ckpt`"):
        fit(tmp_path, tiny_root, max_time="00:00:00:00")
    state = RunFolder(tmp_path / "run").state
    assert state is not None
    assert (state.status, state.training) == ("failed", None)


def test_checkpoints_and_loggers_of_the_users_own_leave_those_of_the_run_alone(tiny_root: Path, tmp_path: Path) -> None:
    own = {"class_path": CHECKPOINT, "init_args": {"dirpath": str(tmp_path / "own"), "save_top_k": 0}}
    logger = {"class_path": CSV, "init_args": {"save_dir": str(tmp_path / "csv"), "name": "a"}}
    run = fit(tmp_path, tiny_root, callbacks=[own], logger=[logger], log_every_n_steps=0)
    logged = pd.read_csv(run / "metrics.csv")
    summary = json.loads((run / "run.json").read_text())["training"]
    assert summary["best_score"] == pytest.approx(logged[logged["name"] == "val/auroc_macro"]["value"].max())
    assert summary["monitor"] == "val/auroc_macro"
    (table,) = (tmp_path / "csv").rglob("metrics.csv")
    assert set(logged["name"]) <= set(pd.read_csv(table).columns)
    # nothing is logged within the epoch; the last step is logged for the progress line
    assert (logged[logged["name"].str.startswith("train/")]["step"] == 7).all()


@pytest.mark.parametrize(("wanted", "progress"), [(True, RichProgressBar), (None, EpochLog)])
def test_the_progress_bar_is_the_one_that_is_asked_for(
    wanted: bool | None, progress: type, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[type] = []

    def look(cli: MMPKDCLI, _: str) -> None:
        found.extend(type(callback) for callback in cli.trainer.callbacks)  # type: ignore[attr-defined]

    monkeypatch.setattr(MMPKDCLI, "_run_subcommand", look)
    fit(tmp_path, tiny_root, enable_progress_bar=wanted)
    assert progress in found
    assert not {RichProgressBar, EpochLog} - {progress} & set(found)


def test_a_run_without_figures_keeps_all_other_callbacks() -> None:
    monitor = LocalizationMonitor()
    own = [monitor, AttributionMapLogger(), FaithfulnessMonitor()]
    assert users_callbacks(own) == own
    assert users_callbacks(own, figures=False) == [monitor]
    assert users_callbacks(None, figures=False) == []


@pytest.mark.parametrize("wrap", [lambda own: own, lambda own: [own]], ids=["one", "a list"])
def test_callbacks_of_the_users_own_are_one_or_a_list(
    wrap: Callable[[Any], Any], tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[type] = []

    def look(cli: MMPKDCLI, _: str) -> None:
        found.extend(type(callback) for callback in cli.trainer.callbacks)  # type: ignore[attr-defined]

    monkeypatch.setattr(MMPKDCLI, "_run_subcommand", look)
    fit(tmp_path, tiny_root, callbacks=wrap({"class_path": "lightning.pytorch.callbacks.DeviceStatsMonitor"}))
    assert {DeviceStatsMonitor, EpochLog} <= set(found)


def test_a_profile_is_shown_to_the_user_who_asks_for_it(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    SimpleProfiler().describe()
    assert "Profiler Report" in caplog.text
    logging.getLogger("lightning.pytorch.trainer").info("an advertisement")
    assert "advertisement" not in caplog.text


def test_few_batches_are_learned_by_heart_on_request(tiny_root: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen.txt"
    callback = {"class_path": "tests.interrupt.SeenSamples", "init_args": {"path": str(seen)}}
    fit(tmp_path, tiny_root, max_epochs=2, overfit_batches=2, callbacks=[callback])
    assert seen.read_text().split() == [f"train{i}" for i in range(16)] * 2
