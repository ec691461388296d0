import resource
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from data_modules.files.atomic import remove_unfinished
from mmpkd.commands.processes.run import PROGRAM
from mmpkd.records.checkpoint import SafeCheckpointIO
from mmpkd.study.execution.forked import start_server


def write_again_and_again(path: Path) -> None:
    value = 0
    while True:
        value += 1
        SafeCheckpointIO().save_checkpoint({"a": torch.full((2_000_000,), float(value))}, path)


@pytest.mark.slow
def test_a_kill_during_a_save_never_tears_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    start_server(PROGRAM)
    process = get_context("forkserver").Process(target=write_again_and_again, args=(path,))
    process.start()
    seen = []
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(5):
        time.sleep(0.13)
        value = torch.load(path, weights_only=True)["a"]
        assert (value == value[0]).all()
        seen.append(value[0].item())
    process.kill()
    process.join()
    value = torch.load(path, weights_only=True)["a"]
    assert (value == value[0]).all()
    assert value[0].item() >= seen[-1] > seen[0]


def test_a_full_disk_keeps_the_old_checkpoint_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint({"a": torch.zeros(3)}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match=r"^Expected room for '.*last\.ckpt' but: File too large\. Free some"):
            SafeCheckpointIO().save_checkpoint({"a": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.load(path, weights_only=True)["a"].shape == (3,)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_only_tensors_and_primitives_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"a": Path("pickled")}, path)
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        SafeCheckpointIO().load_checkpoint(path)
    with pytest.raises(ValueError, match="tensors and primitives"):
        SafeCheckpointIO().load_checkpoint(path, weights_only=False)
    with pytest.raises(FileNotFoundError, match="Expected a checkpoint"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "none.ckpt")


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.0a1b.tmp").write_bytes(b"half")
    (tmp_path / "last.ckpt").write_bytes(b"whole")
    for name in (".targets.0a1b.tmp", "targets", ".kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "logits.npy").touch()
    remove_unfinished(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".kept", "last.ckpt", "targets"]
    assert (tmp_path / "targets" / "logits.npy").exists()
