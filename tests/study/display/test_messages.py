"""Warnings that a run has printed are found in its log, and nothing else is."""

import logging
import sys
import warnings
from pathlib import Path

import pytest

from mmpkd.cli.terminal import start_logging
from mmpkd.study.execution.display.messages import messages


def test_what_python_and_loggers_warn_of_is_found_once_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    start_logging()
    own = logging.getLogger("mmpkd")
    own.info("epoch 1 of 8: train/loss 0.5, no warning: here")
    own.warning("data: 3 images are black")
    own.error("the disk is full")
    for _ in range(2):
        sys.stderr.write(warnings.formatwarning("a: slow", UserWarning, "some/file.py", 3, "slow()"))
    log = tmp_path / "log.txt"
    log.write_text(capsys.readouterr().err)
    assert messages(log) == ["warning: data: 3 images are black", "error: the disk is full", "UserWarning: a: slow"]


def test_what_an_earlier_attempt_has_printed_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert messages(log) == []
    log.write_text("f.py:1: UserWarning: old\n")
    size = log.stat().st_size
    with log.open("ab") as file:
        file.write(b"f.py:1: FutureWarning: new \xff\n")
    assert messages(log, size) == ["FutureWarning: new �"]
