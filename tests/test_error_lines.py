import errno
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.trainer import call
from torch import nn
from torch._utils import ExceptionWrapper

from data_modules.images.image_file import ImageReadError
from data_modules.images.prepare import verify_images
from mmpkd.cli.error_lines import place_in_users_code, reason_of, run_with_error_line, take_debug, user_error
from mmpkd.losses import schedules
from mmpkd.losses.schedules import Schedule
from mmpkd.study.plan.errors import StudyError


def raised_by(program: Callable[[], object]) -> Exception:
    try:
        program()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def fail(error: Exception) -> int:
    raise error


def in_worker(program: Callable[[], object]) -> None:
    """Run a program as PyTorch's loader does in another process, and raise its error as PyTorch does in this one."""
    try:
        program()
    except Exception:
        ExceptionWrapper(where="in DataLoader worker process 0").reraise()


def wrong_schedule() -> Schedule:
    return Schedule(1.0, 0.0, warmup=2.0)


def wrong_loss() -> torch.Tensor:
    return nn.functional.cross_entropy(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (wrong_schedule, "Expected a schedule with warmup in [0, 1) but got 2.0."),
        (lambda: in_worker(wrong_schedule), "Expected a schedule with warmup in [0, 1) but got 2.0."),
        (lambda: Path("/nowhere/x").read_text(), "Expected to use '/nowhere/x' but got: No such file or directory."),
        (lambda: in_worker(lambda: Path("/nowhere/x").read_text()), "'/nowhere/x'"),
        (lambda: Trainer(max_epochs=-2, accelerator="cpu", logger=False), "You passed in -2"),
        (lambda: Trainer(strategy="nonsense", accelerator="cpu", logger=False), "strategy='nonsense'"),
        (lambda: EarlyStopping("val/nothing")._validate_condition_metric({}), "`val/nothing` which is not available"),
        (lambda: fail(StudyError("no\n  arms")), "no arms"),
        (lambda: fail(ImageReadError("Sample 'a', 'a.png': half of it")), "Sample 'a', 'a.png': half of it"),
        (lambda: in_worker(lambda: fail(ImageReadError("Sample 'a', 'a.png': half of it"))), "Sample 'a', 'a.png'"),
        (lambda: Trainer(devices=-1, accelerator="cpu", logger=False), "`devices` selected with `CPUAccelerator`"),
        (lambda: Trainer(accelerator="tpu", logger=False), "torch_xla"),
        (lambda: seed_everything(-1), "-1 is not in bounds"),
        (lambda: fail(OSError(errno.ENOSPC, "No space left on device")), "but got: No space left on device. Make room"),
    ],
)
def test_what_a_user_can_mend_is_one_line(program: Callable[[], object], words: str) -> None:
    line = user_error(raised_by(program))
    assert line is not None
    assert words in line
    assert "\n" not in line
    assert "Traceback" not in line


@pytest.mark.parametrize(
    "program",
    [
        lambda: dict[str, int]()["x"],
        lambda: len(3),  # type: ignore[arg-type]
        wrong_loss,  # "Expected input batch_size (3) to match target batch_size (2)."
        lambda: in_worker(wrong_loss),
        lambda: int("x"),
        lambda: fail(ValueError("Expected of a class of the user's own")),
        lambda: fail(ConnectionResetError("a process has died")),
        lambda: fail(AssertionError()),
        lambda: fail(TimeoutError()),
        lambda: fail(TimeoutError("a server of the user's own")),
        lambda: fail(StudyError()),
    ],
)
def test_an_error_of_the_program_keeps_its_traceback(program: Callable[[], object]) -> None:
    error = raised_by(program)
    assert user_error(error) is None
    with pytest.raises(type(error)):
        run_with_error_line("mmpkd fit", False, lambda: fail(error))


class Net(LightningModule):
    """A module of the user's own that logs what is no number."""

    def on_fit_start(self) -> None:
        self.log("x", "text")


def test_what_lightning_says_to_the_users_own_code_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    net = Net()
    net._trainer = trainer
    error = raised_by(lambda: call._call_lightning_module_hook(trainer, "on_fit_start", pl_module=net))
    assert isinstance(error, ValueError | MisconfigurationException)
    assert user_error(error) is None
    place = place_in_users_code(error)
    assert place is not None
    assert place.startswith(__file__)


def test_a_package_beside_ours_whose_name_begins_like_ours_is_not_ours() -> None:
    ours = Path(str(schedules.__file__))
    code = compile("raise ValueError('Expected a but got b.')", str(ours.parents[2] / "mmpkd_extra" / "x.py"), "exec")
    assert user_error(raised_by(lambda: exec(code))) is None
    own = compile("raise ValueError('Expected a but got b.')", str(ours.with_name("x.py")), "exec")
    assert user_error(raised_by(lambda: exec(own))) == "Expected a but got b."


def test_an_error_in_a_process_of_a_pool_is_told_as_any_other(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as pool:
        ours = raised_by(lambda: list(pool.map(verify_images, [tmp_path])))
        bug = raised_by(lambda: list(pool.map(int, ["x"])))
    assert str(user_error(ours)).startswith(f"Expected prepared images in '{tmp_path}' but there are none")
    assert user_error(bug) is None


def test_debug_shows_every_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    error = raised_by(wrong_schedule)
    assert run_with_error_line("mmpkd fit", False, lambda: fail(error)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(ValueError, match="warmup"):
        run_with_error_line("mmpkd fit", True, lambda: fail(error))


@pytest.mark.parametrize(
    ("given", "left", "is_debug"),
    [
        (["fit", "--debug", "-c", "x"], ["fit", "-c", "x"], True),
        (["study", "x", "--", "--debug"], ["study", "x", "--", "--debug"], False),
        (["study", "--debug", "x", "--", "--a"], ["study", "x", "--", "--a"], True),
        (["fit"], ["fit"], False),
    ],
)
def test_debug_is_taken_from_the_arguments_of_the_command(given: list[str], left: list[str], is_debug: bool) -> None:
    assert take_debug(given) == (left, is_debug)


def test_the_reason_of_an_error_in_a_loader_process_is_its_own() -> None:
    trace = 'Original Traceback (most recent call last):\n  File "a.py", line 1\n'
    text = f"Caught ValueError in DataLoader worker process 0.\n{trace}"
    assert reason_of(ValueError(f"{text}ValueError: the real reason\n")) == "ValueError: the real reason"
    several = RuntimeError("Error(s) in loading state_dict for Linear:\n\tMissing key: weight")
    assert reason_of(several) == "RuntimeError: Error(s) in loading state_dict for Linear: Missing key: weight"
