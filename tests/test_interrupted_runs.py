"""What a run leaves behind when it is killed, stopped or diverges, and how it goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmpkd.callbacks.nan_guard import NonFiniteLossError
from mmpkd.cli.lightning_cli import main
from mmpkd.records import RunFolder
from tests.forked import finish, heed_ctrl_c, start
from tests.runs import config, data, student, text_teacher

REPOSITORY = Path(__file__).parents[1]
DROPOUT = {"model_name": "vit_nano_patch8_64", "options": {"depth": 1, "proj_drop_rate": 0.2}}


def arguments(folder: Path, name: str, tiny_root: Path, num_workers: int = 0) -> list[str]:
    return config(
        folder,
        name,
        tiny_root,
        student(student=DROPOUT),
        run={"save_every_n_steps": 3},
        data=data(tiny_root, num_workers=num_workers, shift=0.2),
        trainer={"max_epochs": 3},
    )


def interrupt(args: list[str], step: int, number: int, log: Path) -> int:
    """Return how a fit ends that gets a signal in a step."""
    return finish(start(["fit", *args, *signal_at(step, number)], log))


def interrupt_really(args: list[str], step: int, number: int, log: Path) -> int:
    """Do the same in a process that a shell might start."""
    command = [sys.executable, "-m", "mmpkd", "fit", *args, *signal_at(step, number)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        return subprocess.run(
            command, env=environment, stdout=output, stderr=output, check=False, cwd=REPOSITORY, preexec_fn=heed_ctrl_c
        ).returncode


def signal_at(step: int, number: int) -> list[str]:
    callbacks = "--trainer.callbacks"
    return [f"{callbacks}+=tests.interrupt.SignalAt", f"{callbacks}.step={step}", f"{callbacks}.number={number}"]


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 24
    weights: dict[str, torch.Tensor] = saved["state_dict"]
    return weights


@pytest.fixture(scope="module")
def undisturbed_folder(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    main(["fit", *arguments(folder, "run", tiny_root)])
    return folder / "run"


@pytest.fixture(scope="module")
def undisturbed(undisturbed_folder: Path) -> dict[str, torch.Tensor]:
    return final_weights(undisturbed_folder)


@pytest.mark.slow
@pytest.mark.parametrize(("num_workers", "step"), [(0, 11), (2, 16)])
def test_resume_after_a_kill_inside_an_epoch_is_exact(
    num_workers: int, step: int, undisturbed: dict[str, torch.Tensor], tiny_root: Path, tmp_path: Path
) -> None:
    args = arguments(tmp_path, "run", tiny_root, num_workers)
    log = tmp_path / "log.txt"
    assert interrupt(args, step, signal.SIGKILL, log) == -signal.SIGKILL, log.read_text()
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == max(step // 8 * 8, step // 3 * 3)
    main(["fit", *args, "--ckpt_path", str(last)])
    resumed = final_weights(tmp_path / "run")
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(value, undisturbed[name]) for name, value in resumed.items())


HOOKS = {
    "on_train_epoch_start": False,
    "on_train_batch_start": False,
    "on_before_optimizer_step": False,
    "on_train_batch_end": False,
    "on_validation_start": False,
    "on_validation_batch_end": False,
    "on_validation_epoch_end": False,
    "on_validation_end": True,
    "on_train_epoch_end": False,
    "on_save_checkpoint": True,
}


@pytest.mark.slow
@pytest.mark.parametrize(("hook", "is_killed"), HOOKS.items())
def test_the_best_model_is_remembered_after_a_kill_at_any_hook(
    hook: str, is_killed: bool, undisturbed_folder: Path, tiny_root: Path, tmp_path: Path
) -> None:
    """The first epoch has the best score; the run is killed in the second. Where it breaks off instead, the same is on disk."""
    args = arguments(tmp_path, "run", tiny_root)
    kill = ["--trainer.callbacks+=tests.interrupt.KillAt", f"--trainer.callbacks.hook={hook}"]
    kill += ["--trainer.callbacks.epoch=1", f"--trainer.callbacks.is_killed={str(is_killed).lower()}"]
    if is_killed:
        process = start(["fit", *args, *kill], tmp_path / "log.txt")
        assert finish(process) == -signal.SIGKILL, (tmp_path / "log.txt").read_text()
    else:
        with pytest.raises(ConnectionError):
            main(["fit", *args, *kill])
    main(["fit", *args, "--ckpt_path", str(tmp_path / "run" / "checkpoints" / "last.ckpt")])
    best, expected = (
        torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        for folder in (tmp_path / "run", undisturbed_folder)
    )
    assert best["global_step"] == expected["global_step"] == 8
    assert all(torch.equal(value, expected["state_dict"][name]) for name, value in best["state_dict"].items())


@pytest.mark.slow
@pytest.mark.parametrize("is_moved", [True, False])
def test_the_best_score_moves_with_its_folder_and_not_to_another_run(
    is_moved: bool, undisturbed_folder: Path, tiny_root: Path, tmp_path: Path
) -> None:
    """The first epoch has the best score; a run that goes on elsewhere, without that model, keeps the best of its own."""
    args = arguments(tmp_path, "run", tiny_root)
    log = tmp_path / "log.txt"
    assert interrupt(args, 12, signal.SIGKILL, log) == -signal.SIGKILL, log.read_text()
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    if is_moved:
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        last = tmp_path / "elsewhere" / "checkpoints" / "last.ckpt"
    main(["fit", *args, f"--run.dir={tmp_path / 'elsewhere'}", "--ckpt_path", str(last)])
    best, expected = (
        torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        for folder in (tmp_path / "elsewhere", undisturbed_folder)
    )
    assert expected["global_step"] == 8
    assert (best["global_step"] == 8) == is_moved
    states = [RunFolder(folder).state for folder in (tmp_path / "elsewhere", undisturbed_folder)]
    scores = [state.training.best_score for state in states if state is not None and state.training is not None]
    assert (scores[0] == scores[1]) == is_moved


@pytest.mark.slow
@pytest.mark.parametrize(
    ("interrupt", "number", "code", "saved_step"),
    [(interrupt, signal.SIGTERM, 143, 11), (interrupt_really, signal.SIGINT, 130, 9)],
)
def test_a_stopped_run_saves_and_exits_with_the_signals_code(
    interrupt: Callable[..., int], number: int, code: int, saved_step: int, tiny_root: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    assert interrupt(arguments(tmp_path, "run", tiny_root), 10, number, log) == code, log.read_text()
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == saved_step


def test_a_gradient_that_is_not_finite_stops_before_the_weights(tiny_root: Path, tmp_path: Path) -> None:
    args = arguments(tmp_path, "run", tiny_root)
    with pytest.raises(NonFiniteLossError, match="at step 7"):
        main(["fit", *args, "--trainer.callbacks+=tests.interrupt.BreakAt", "--trainer.callbacks.step=7"])
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 6
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_a_teacher_resumes_with_the_same_vocabulary(tiny_root: Path, tmp_path: Path) -> None:
    model = text_teacher()
    once = config(tmp_path, "once", tiny_root, model, trainer={"max_epochs": 4})
    main(["fit", *once])
    twice = config(tmp_path, "twice", tiny_root, model, run={"save_every_n_steps": 5}, trainer={"max_epochs": 4})
    with pytest.raises(NonFiniteLossError):
        main(["fit", *twice, "--trainer.callbacks+=tests.interrupt.BreakAt", "--trainer.callbacks.step=13"])
    last = tmp_path / "twice" / "checkpoints" / "last.ckpt"
    main(["fit", *twice, "--ckpt_path", str(last)])
    weights = [torch.load(tmp_path / n / "checkpoints" / "last.ckpt", weights_only=True) for n in ("once", "twice")]
    assert all(torch.equal(v, weights[1]["state_dict"][k]) for k, v in weights[0]["state_dict"].items())


def test_resuming_a_teacher_on_other_data_is_refused(tiny_root: Path, tmp_path: Path) -> None:
    args = config(tmp_path, "teacher", tiny_root, text_teacher())
    main(["fit", *args])
    manifest = tmp_path / "teacher" / "checkpoints" / "last.ckpt"
    saved = torch.load(manifest, weights_only=True)
    saved["teacher"]["inputs"]["pad_token"] = "[UNK]"
    torch.save(saved, manifest)
    with pytest.raises(ValueError, match="Restore the data, or start a new run"):
        main(["fit", *args, "--ckpt_path", str(manifest), "--trainer.max_epochs=3"])
