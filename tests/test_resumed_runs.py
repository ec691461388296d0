"""A run that goes on ends as if nothing had happened, also inside a window of accumulation or a validation inside an epoch."""

import csv
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel, RandomDataset

from mmpkd.callbacks.checkpoints.last_checkpoint import LastCheckpoint
from mmpkd.callbacks.record import RunRecord
from mmpkd.cli.lightning_cli import main
from mmpkd.cli.run_options import RunOptions
from mmpkd.cli.run_parts import run_callbacks
from mmpkd.losses.schedules import Schedule
from mmpkd.modules.optimizer import WarmupCosine
from mmpkd.records import Lineage, RunFolder
from mmpkd.records.code_hash import code_hash
from mmpkd.tracking.metrics_file import read_metrics
from tests.quiet_trainer import quiet_trainer
from tests.runs import config, data, student
from tests.tiny import TinyDataModule, write_targets

ACCUMULATING = {"accumulate_grad_batches": 4, "max_epochs": 2, "log_every_n_steps": 1}
VALIDATING = {"val_check_interval": 0.5, "max_epochs": 2, "log_every_n_steps": 1}


def arguments(folder: Path, tiny_root: Path, trainer: Mapping[str, object], every_n_steps: int = 1) -> list[str]:
    """Of 64 samples and 8 batches an epoch."""
    model = student(student={"model_name": "vit_nano_patch8_64", "options": {"depth": 1, "proj_drop_rate": 0.2}})
    run = {"save_every_n_steps": every_n_steps}
    return config(folder, "run", tiny_root, model, run=run, data=data(tiny_root, shift=0.2), trainer=dict(trainer))


def stop_at(hook: str, batch: int, is_told: bool = False) -> list[str]:
    flag = "--trainer.callbacks"
    return [
        f"{flag}+=tests.interrupt.StopAt",
        f"{flag}.hook={hook}",
        f"{flag}.batch={batch}",
        f"{flag}.is_told={str(is_told).lower()}",
    ]


def interrupt(args: list[str], *more: str) -> None:
    with pytest.raises((ConnectionError, SystemExit)):
        main(["fit", *args, *more])


def go_on(args: list[str], folder: RunFolder, *more: str) -> None:
    main(["fit", *args, *more, f"--ckpt_path={folder.last}"])


def check_equal(folder: RunFolder, undisturbed: RunFolder) -> None:
    """Check weights, buffers, the best model, and that every step stands once in the metrics."""
    for name in ("last", "best"):
        found, expected = (torch.load(getattr(own, name), weights_only=True) for own in (folder, undisturbed))
        assert found["global_step"] == expected["global_step"], name
        different = [
            key for key, value in expected["state_dict"].items() if not torch.equal(value, found["state_dict"][key])
        ]
        assert not different, name
    assert folder.metrics.read_text() == undisturbed.metrics.read_text()


def rates(folder: RunFolder) -> dict[int, float]:
    """Return the learning rate of every step."""
    return logged(folder, "train/lr")


def logged(folder: RunFolder, name: str) -> dict[int, float]:
    """Return the value of a metric at every step."""
    return {row.step: row.value for row in read_metrics(folder.metrics) if row.name == name}


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> RunFolder:
    folder = tmp_path_factory.mktemp("accumulated")
    main(["fit", *arguments(folder, tiny_root, ACCUMULATING)])
    return RunFolder(folder / "run")


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> RunFolder:
    folder = tmp_path_factory.mktemp("validated")
    main(["fit", *arguments(folder, tiny_root, VALIDATING)])
    return RunFolder(folder / "run")


@pytest.mark.parametrize(
    ("batch", "is_told", "every_n_steps", "saved_step"),
    [
        (6, False, 1, 1),  # in the second window of the first epoch
        (14, True, 100, 3),  # the same in the second epoch; what is saved is the end of the window before
        (10, True, 100, 2),  # in the first window of the second epoch; what is there is the end of the first epoch
        (11, True, 100, 3),  # at the last batch of that window
    ],
)
def test_no_gradient_of_a_window_is_lost(
    batch: int,
    is_told: bool,
    every_n_steps: int,
    saved_step: int,
    accumulated: RunFolder,
    tiny_root: Path,
    tmp_path: Path,
) -> None:
    args = arguments(tmp_path, tiny_root, ACCUMULATING, every_n_steps)
    folder = RunFolder(tmp_path / "run")
    interrupt(args, *stop_at("on_train_batch_start", batch, is_told))
    assert torch.load(folder.last, weights_only=True)["global_step"] == saved_step
    go_on(args, folder)
    check_equal(folder, accumulated)


@pytest.mark.parametrize(
    ("hook", "batch", "is_told"),
    [
        ("on_validation_start", 11, False),
        ("on_validation_batch_end", 11, True),
        ("on_train_batch_end", 11, True),
        ("on_validation_end", 3, True),
        ("on_train_batch_start", 13, False),
    ],
)
def test_no_validation_inside_an_epoch_is_left_out(
    hook: str, batch: int, is_told: bool, validated: RunFolder, tiny_root: Path, tmp_path: Path
) -> None:
    args = arguments(tmp_path, tiny_root, VALIDATING)
    folder = RunFolder(tmp_path / "run")
    interrupt(args, *stop_at(hook, batch, is_told))
    go_on(args, folder)
    check_equal(folder, validated)


@pytest.mark.parametrize(
    ("setting", "start", "total"),
    [
        ("data.init_args.batch_size=4", 10, 32),
        ("data.init_args.batch_size=16", 2, 8),
        ("trainer.accumulate_grad_batches=2", 2, 8),
    ],
)
def test_each_sample_of_an_epoch_is_served_once_with_another_batch_size(
    setting: str, start: int, total: int, tiny_root: Path, tmp_path: Path
) -> None:
    seen = tmp_path / "seen.txt"
    note = ["--trainer.callbacks+=tests.interrupt.SeenSamples", f"--trainer.callbacks.path={seen}"]
    args = [*arguments(tmp_path, tiny_root, {"max_epochs": 2, "log_every_n_steps": 1}), *note]
    folder = RunFolder(tmp_path / "run")
    interrupt(args, *stop_at("on_train_batch_start", 5))
    first = seen.read_text().split()
    assert len(first) == 40
    seen.unlink()
    go_on(args, folder, f"--{setting}")
    after = seen.read_text().split()
    assert sorted(first + after[:24]) == sorted(f"train{i}" for i in range(64))
    assert sorted(after[24:]) == sorted(f"train{i}" for i in range(64))
    # the schedule goes on at the share of the training that is done, in steps of the new size, and ends at its end
    before, now = WarmupCosine(16, 0.1), WarmupCosine(total, 0.1)
    steps = [before(step) for step in range(5)] + [now(step) for step in range(start, total)]
    assert list(rates(folder).values()) == pytest.approx([0.001 * step for step in steps])


def test_more_epochs_follow_the_new_schedule(tiny_root: Path, tmp_path: Path) -> None:
    targets = write_targets(tmp_path / "targets", tiny_root)
    weight = Schedule(0.8, 0.2, warmup=0.25)
    model = student(teacher={"path": str(targets)}, objective={"weight": asdict(weight)})
    args = config(tmp_path, "run", tiny_root, model, trainer={"max_epochs": 1, "log_every_n_steps": 1})
    folder = RunFolder(tmp_path / "run")
    main(["fit", *args])
    go_on(args, folder, "--trainer.max_epochs=3", "--model.init_args.optimizer.lr=0.002")
    before, after = WarmupCosine(8, 0.1), WarmupCosine(24, 0.1)
    expected = {step: 0.001 * before(step) for step in range(8)} | {step: 0.002 * after(step) for step in range(8, 24)}
    assert rates(folder) == pytest.approx(expected)
    weights = [weight(step / 8) for step in range(8)] + [weight(step / 24) for step in range(8, 24)]
    assert list(logged(folder, "train/distillation_weight").values()) == pytest.approx(weights)


def test_a_data_module_that_went_on_once_begins_the_next_fit_at_the_beginning(tmp_path: Path) -> None:
    module = TinyDataModule(str(tmp_path))
    module.setup("fit")
    module.load_state_dict({"epoch": 0, "samples": 40})
    assert len(list(module.train_dataloader())) == 3
    module.setup("fit")
    assert len(list(module.train_dataloader())) == 8


def test_a_run_without_any_save_begins_again(accumulated: RunFolder, tiny_root: Path, tmp_path: Path) -> None:
    args = arguments(tmp_path, tiny_root, ACCUMULATING, 100)
    interrupt(args, *stop_at("on_train_batch_start", 6))
    folder = RunFolder(tmp_path / "run")
    folder.wandb_id.write_text("of the first attempt\n")
    main(["fit", *args])
    check_equal(folder, accumulated)
    assert not folder.wandb_id.exists()


def test_all_code_that_made_the_weights_is_recorded(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = arguments(tmp_path, tiny_root, {"max_epochs": 1}, 2)
    folder = RunFolder(tmp_path / "run")
    monkeypatch.setattr("mmpkd.callbacks.record.code_hash", lambda: "a")
    interrupt(args, *stop_at("on_train_batch_start", 3))
    # as after a second part that was stopped before it saved anything: its code has no share in the weights
    folder.update(made_from=Lineage(None, "1", None, None, {}, "b"))
    monkeypatch.setattr("mmpkd.callbacks.record.code_hash", lambda: "c")
    go_on(args, folder)
    state = folder.state
    assert state is not None
    assert state.made_from is not None
    assert (state.made_from.earlier_code, state.made_from.code) == (("a",), "c")
    assert torch.load(folder.last, weights_only=True)["callbacks"]["RunRecord"] == {"code": ["a", "c"]}
    # a resume with the same code adds nothing
    monkeypatch.undo()
    record = RunRecord(0, None)
    record.load_state_dict({"code": ["a", code_hash()]})
    assert record.state_dict() == {"code": ["a", code_hash()]}


def contents(folder: RunFolder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("more", [[], ["--trainer.fast_dev_run=true", "--model.init_args.optimizer.lr=0.1"]])
def test_a_finished_training_stays_as_it_is(
    more: list[str], accumulated: RunFolder, tiny_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(accumulated)
    with caplog.at_level("INFO", "mmpkd"):
        main(["fit", *arguments(accumulated.path.parent, tiny_root, ACCUMULATING), *more])
    assert contents(accumulated) == before
    assert (f"'{accumulated.path}' contains this training, and it is finished" in caplog.text) == (not more)


def test_a_second_training_is_kept_out_of_a_folder(accumulated: RunFolder, tiny_root: Path) -> None:
    before = contents(accumulated)
    with pytest.raises(ValueError, match=r"another one: model.init_args.optimizer.lr was 0.001 and is 0.1"):
        main(
            ["fit", *arguments(accumulated.path.parent, tiny_root, ACCUMULATING), "--model.init_args.optimizer.lr=0.1"]
        )
    assert contents(accumulated) == before


def test_a_run_that_fails_says_why(tiny_root: Path, tmp_path: Path) -> None:
    interrupt(arguments(tmp_path, tiny_root, ACCUMULATING), *stop_at("on_train_batch_start", 1))
    state = RunFolder(tmp_path / "run").state
    assert state is not None
    assert (state.status, state.reason) == ("failed", "ConnectionError: broken off")
    assert state.training is None


@pytest.mark.parametrize(("seconds_a_step", "saved_steps"), [(5.0, []), (11.9, [100]), (12.0, [50, 100])])
def test_it_is_saved_every_ten_minutes_by_a_clock_that_is_read_every_fifty_steps(
    seconds_a_step: float, saved_steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callbacks = run_callbacks(RunOptions(), RunFolder(tmp_path), 0, False)
    saves = [own for own in callbacks if isinstance(own, LastCheckpoint)]
    trainer = quiet_trainer(tmp_path, enable_checkpointing=True, callbacks=saves)
    clock = SimpleNamespace(monotonic=lambda: seconds_a_step * trainer.global_step)
    monkeypatch.setattr("mmpkd.callbacks.checkpoints.last_checkpoint.time", clock)
    saved: list[int] = []
    monkeypatch.setattr(trainer, "save_checkpoint", lambda _: saved.append(trainer.global_step))
    trainer.fit(BoringModel(), torch.utils.data.DataLoader(RandomDataset(32, 120)))
    assert saved == [*saved_steps, 120]


def two_epochs(folder: Path, *callbacks: Callback) -> Trainer:
    return quiet_trainer(folder, max_epochs=2, enable_checkpointing=True, callbacks=list(callbacks))


@pytest.mark.parametrize(("of_the_first", "saved_steps"), [(False, [60, 120]), (True, [50, 60, 100, 120])])
def test_the_clock_of_the_first_process_decides(
    of_the_first: bool, saved_steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = two_epochs(tmp_path, LastCheckpoint(RunFolder(tmp_path)))
    asked: list[bool] = []

    def broadcast(own: bool) -> bool:
        asked.append(own)
        return of_the_first

    # Lightning itself uses it, too, but not in the course of an epoch
    saved: list[int] = []
    monkeypatch.setattr(trainer, "save_checkpoint", lambda _: saved.append(trainer.global_step))
    monkeypatch.setattr(
        LastCheckpoint, "on_train_batch_start", lambda *_: setattr(trainer.strategy, "broadcast", broadcast)
    )
    trainer.fit(BoringModel(), torch.utils.data.DataLoader(RandomDataset(32, 60)))
    assert saved == saved_steps
    assert asked == [False, False]


def test_what_other_callbacks_remember_at_the_end_of_an_epoch_is_saved(tmp_path: Path) -> None:
    """As a user's own `ModelCheckpoint` does: Lightning calls those after all other callbacks."""
    own = ModelCheckpoint(tmp_path / "own", save_on_train_epoch_end=True)
    trainer = two_epochs(tmp_path, own, LastCheckpoint(RunFolder(tmp_path)))
    trainer.fit(BoringModel(), torch.utils.data.DataLoader(RandomDataset(32, 2)))
    saved = torch.load(RunFolder(tmp_path).last, weights_only=True)
    assert saved["callbacks"][own.state_key]["best_model_path"] == own.best_model_path


LIMITS: dict[str, dict[str, object]] = {
    "epochs": {"max_epochs": 4, "max_steps": 1000},
    "steps": {"max_epochs": -1, "max_steps": 28, "val_check_interval": 3},
}


@pytest.mark.parametrize("kind", LIMITS)
def test_a_training_with_a_limit_of_steps_goes_on_after_an_epoch(kind: str, tiny_root: Path, tmp_path: Path) -> None:
    """It is saved at the end of the second epoch, and broken off in the third."""
    trainer = {**LIMITS[kind], "log_every_n_steps": 1}
    (tmp_path / "undisturbed").mkdir()
    main(["fit", *arguments(tmp_path / "undisturbed", tiny_root, trainer, 100)])
    args = arguments(tmp_path, tiny_root, trainer, 100)
    interrupt(args, *stop_at("on_train_batch_start", 17))
    folder = RunFolder(tmp_path / "run")
    assert torch.load(folder.last, weights_only=True)["global_step"] == 16
    go_on(args, folder)
    check_equal(folder, RunFolder(tmp_path / "undisturbed" / "run"))


def test_a_training_that_ended_inside_an_epoch_can_be_extended(tiny_root: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen.txt"
    note = ["--trainer.callbacks+=tests.interrupt.SeenSamples", f"--trainer.callbacks.path={seen}"]
    args = [*arguments(tmp_path, tiny_root, {"max_epochs": -1, "max_steps": 12, "log_every_n_steps": 1}), *note]
    folder = RunFolder(tmp_path / "run")
    main(["fit", *args])
    go_on(args, folder, "--trainer.max_steps=24")
    assert sorted(seen.read_text().split()) == sorted([f"train{i}" for i in range(64)] * 3)
    after = WarmupCosine(24, 0.1)
    assert rates(folder)[23] == pytest.approx(0.001 * after(23))


def test_fewer_epochs_than_are_trained_are_refused_and_nothing_is_touched(
    accumulated: RunFolder, tiny_root: Path
) -> None:
    before = contents(accumulated)
    args = arguments(accumulated.path.parent, tiny_root, ACCUMULATING)
    with pytest.raises(
        ValueError, match=r"trainer\.max_epochs of at least 2, the number of epochs trained so far, but got 1"
    ):
        go_on(args, accumulated, "--trainer.max_epochs=1")
    with pytest.raises(ValueError, match="weights differ"):
        go_on(args, accumulated, "--model.init_args.student.options.depth=2")
    after = contents(accumulated)
    state = accumulated.path / "run.json"
    assert {path for path in after if after[path] != before.get(path)} == {state}  # why it failed
    state.write_bytes(before[state])


def test_a_best_model_that_the_training_did_not_make_is_not_its_best(tiny_root: Path, tmp_path: Path) -> None:
    """It is broken off between the save of the best model and that of the last one, and goes on with other settings."""
    args = arguments(tmp_path, tiny_root, {"max_epochs": 3, "log_every_n_steps": 1}, 100)
    callbacks = "--trainer.callbacks"
    kill = [f"{callbacks}+=tests.interrupt.KillAt", f"{callbacks}.hook=on_train_epoch_end", f"{callbacks}.epoch=1"]
    folder = RunFolder(tmp_path / "run")
    interrupt(args, *kill, f"{callbacks}.is_killed=false")
    torch.save({**torch.load(folder.best, weights_only=True), "global_step": 16}, folder.best)
    go_on(args, folder, "--model.init_args.optimizer.lr=0.3")
    rows = [row for row in csv.DictReader(folder.metrics.open()) if row["name"] == "val/auroc_macro"]
    state = folder.state
    assert state is not None
    assert state.training is not None
    assert state.training.best_score == pytest.approx(max(float(row["value"]) for row in rows[1:]))


@pytest.mark.parametrize("has_average", [False, True])
def test_a_window_with_a_validation_in_it_is_gone_back_over(has_average: bool, tiny_root: Path, tmp_path: Path) -> None:
    """Callbacks see that validation once, and the statistics of an average are those of its steps."""
    stopping = {"monitor": "val/ece_macro", "patience": 3}
    callbacks = [{"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": stopping}]
    if has_average:
        callbacks.append({"class_path": "mmpkd.callbacks.ema.EMA", "init_args": {"decay": 0.9}})
    limits = {"accumulate_grad_batches": 4, "val_check_interval": 3, "max_epochs": 3, "log_every_n_steps": 1}
    trainer: dict[str, object] = {**limits, "callbacks": callbacks}
    (tmp_path / "undisturbed").mkdir()
    main(["fit", *arguments(tmp_path / "undisturbed", tiny_root, trainer, 100)])
    args = arguments(tmp_path, tiny_root, trainer, 100)
    interrupt(args, *stop_at("on_train_batch_start", 14, is_told=True))
    folder = RunFolder(tmp_path / "run")
    go_on(args, folder)
    check_equal(folder, RunFolder(tmp_path / "undisturbed" / "run"))
