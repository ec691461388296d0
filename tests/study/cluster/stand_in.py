"""The stand-in for SLURM, and what its jobs leave."""

import os
from pathlib import Path

import pytest

from mmpkd.records import StudyRecord, TestRecord, TrainingRecord
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.run import Run
from tests.study.cluster import fake_slurm


def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    commands = tmp_path / "slurm"
    fake_slurm.install(commands)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return commands


def write_done(run: Run) -> None:
    training = TrainingRecord(2, 16, 1.0)
    test = TestRecord(None, {}, {}, "synthetic", (), None, "1")
    run.record.update(status="tested", study=StudyRecord(run_fingerprint(run)), training=training, test=test)
