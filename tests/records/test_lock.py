import fcntl
from pathlib import Path

import pytest

from mmpkd.records.lock import locked


def test_a_folder_has_one_training_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmpkd.records.lock.SECONDS_TO_WAIT", 0.0)
    with (
        locked(tmp_path / "run"),
        pytest.raises(RuntimeError, match="but one is running"),
        locked(tmp_path / "run"),
    ):
        pass
    with locked(tmp_path / "run"):
        pass


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level("WARNING", "mmpkd"), locked(tmp_path / "run"):
        assert "has no file locks (no locks available)" in caplog.text
