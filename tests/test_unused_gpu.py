"""A run that could have a GPU, and has none, says so."""

from pathlib import Path

import pytest
import torch

from mmpkd.numerics import unused_gpu
from mmpkd.numerics.unused_gpu import warn_of_unused_gpu


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a driver for a GPU that PyTorch, built with CUDA 13.2, cannot use."""
    path = tmp_path / "version"
    path.touch()
    monkeypatch.setattr(unused_gpu, "_DRIVER", path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    return path


def test_an_old_driver(driver: Path, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_unused_gpu("auto")
    (record,) = caplog.records
    assert "the driver is most likely too old for CUDA 13.2" in record.getMessage()
    assert "make install TORCH=cu126" in record.getMessage()


def test_a_build_without_cuda(driver: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    warn_of_unused_gpu("auto")
    (record,) = caplog.records
    assert "was built without CUDA" in record.getMessage()


def test_a_driver_is_known_by_its_program_too(driver: Path, caplog: pytest.LogCaptureFixture) -> None:
    driver.unlink()
    warn_of_unused_gpu("auto")
    assert caplog.records == []
    program = driver.with_name("nvidia-smi")
    program.touch(0o755)
    warn_of_unused_gpu("auto")
    assert len(caplog.records) == 1


def test_nothing_is_said_if_no_gpu_is_asked_for_or_one_is_used(
    driver: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_unused_gpu("cpu")
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        warn_of_unused_gpu("auto")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    warn_of_unused_gpu("auto")
    assert caplog.records == []
