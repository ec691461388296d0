from pathlib import Path
from typing import Any

import pytest
import wandb

from mmpkd.cli.lightning_cli import main
from mmpkd.tracking.environment import keep_in, run_defaults
from mmpkd.tracking.wandb import RunFolderWandbLogger
from tests.runs import config, student


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `wandb.init` is called with; it starts nothing."""
    found: list[dict[str, Any]] = []

    def start(self: RunFolderWandbLogger) -> None:
        found.append(self._wandb_init)
        self._experiment = wandb.init(mode="disabled")

    monkeypatch.setattr(RunFolderWandbLogger, "_start", start)
    return found


@pytest.mark.parametrize("flags", [[], ["--run.project=mine", "--run.tags=[x]"]])
def test_variables_of_wandb_are_defaults_and_flags_win(
    flags: list[str],
    started: list[dict[str, Any]],
    tiny_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = {
        "PROJECT": "lungs",
        "RUN_GROUP": "g",
        "JOB_TYPE": "j",
        "TAGS": "a, b",
        "NAME": "first",
        "INIT_TIMEOUT": "3",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    trainer = {"max_epochs": 1, "limit_train_batches": 0, "limit_val_batches": 1}
    arguments = config(tmp_path, "run", tiny_root, student(), run={"wandb": "offline"}, trainer=trainer)
    main(["fit", *arguments, *flags])
    (used,) = started
    assert (used["project"], used["tags"]) == (("mine", ["x"]) if flags else ("lungs", ["a", "b"]))
    assert (used["group"], used["job_type"], used["name"]) == ("g", "j", "first")
    assert used["settings"].init_timeout == 3


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({}, None),
        ({"WANDB_MODE": "online"}, "online"),
        ({"WANDB_MODE": "dryrun"}, "offline"),
        ({"WANDB_MODE": "online", "WANDB_DISABLED": "true"}, "disabled"),
    ],
)
def test_the_mode_is_what_wandb_would_understand(
    variables: dict[str, str], mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run_defaults().get("run.wandb") == mode


def test_an_unknown_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "shared")
    with pytest.raises(ValueError, match="Expected WANDB_MODE to be online, offline or disabled but got 'shared'"):
        run_defaults()


def test_variables_that_are_not_used_are_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep_in(tmp_path / "a")
    keep_in(tmp_path / "b")  # what the first run has set is nobody's wish
    assert not caplog.records
    monkeypatch.setenv("WANDB_DIR", "/scratch")
    monkeypatch.setenv("WANDB_RUN_ID", "r1")
    keep_in(tmp_path / "b")
    (record,) = caplog.records
    assert "Not used: WANDB_DIR, WANDB_RUN_ID." in record.getMessage()


def test_the_agent_of_a_sweep_gives_the_identifier_and_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "r1")
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
    keep_in(tmp_path)
    assert not caplog.records
