"""`data.batch_size` is that of all training processes: each takes its share, and together they train on the same batches."""

from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer

from mmpkd.cli.lightning_cli import main
from tests.runs import config, student
from tests.tiny import TinyDataModule


def of_process(root: Path, rank: int, world_size: int, batch_size: int, done: int = 0) -> TinyDataModule:
    """Return the data of one training process, with `done` batches of the first epoch behind it."""
    data = TinyDataModule(str(root), batch_size=batch_size)
    progress = SimpleNamespace(batch_progress=SimpleNamespace(current=SimpleNamespace(processed=done)))
    trainer: Any = SimpleNamespace(
        global_rank=rank,
        world_size=world_size,
        current_epoch=0,
        fit_loop=SimpleNamespace(max_batches=64 // batch_size, epoch_loop=progress),
        strategy=SimpleNamespace(root_device=SimpleNamespace(type="cpu")),
    )
    data.trainer = cast(Trainer, trainer)
    data.serve(load_images=False, load_privileged=False)
    return data


def batches(data: TinyDataModule) -> list[list[int]]:
    return [batch["index"].tolist() for batch in data.train_dataloader()]


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(1, 7), st.data())
def test_processes_train_together_on_the_batches_of_one(
    tiny_root: Path, world_size: int, share: int, draw: st.DataObject
) -> None:
    batch_size = world_size * share
    expected = batches(of_process(tiny_root, 0, 1, batch_size))
    shares = [batches(of_process(tiny_root, rank, world_size, batch_size)) for rank in range(world_size)]
    assert {len(batch) for own in shares for batch in own} == {share}
    together = [sorted(chain(*parts)) for parts in zip(*shares, strict=True)]
    assert together == [sorted(batch) for batch in expected]
    # a training that stopped after some batches goes on with the next one, on any other number of processes
    done = draw.draw(st.integers(0, 64 // batch_size - 1))
    saved = of_process(tiny_root, 0, world_size, batch_size, done).state_dict()
    assert saved == {"epoch": 0, "samples": done * batch_size}
    alone = of_process(tiny_root, 0, 1, batch_size)
    alone.load_state_dict(saved)
    assert batches(alone) == expected[done:]


@pytest.mark.parametrize(("size", "near"), [(32, "30 or 33"), (2, "3")])
def test_a_batch_that_processes_cannot_share_is_refused_before_anything_is_read(
    size: int, near: str, tmp_path: Path
) -> None:
    data = TinyDataModule(str(tmp_path / "nothing"), batch_size=size)
    data.trainer = cast(Trainer, SimpleNamespace(global_rank=0, world_size=3))
    words = rf"Expected data\.batch_size to be a multiple of 3, .* but got {size}\. Set it to {near}, or"
    with pytest.raises(ValueError, match=words):
        data.setup("fit")
    assert not (tmp_path / "nothing").exists()


def test_the_command_refuses_it_before_it_starts_processes(
    tmp_path: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = "lightning.pytorch.strategies.launchers.subprocess_script._SubprocessScriptLauncher"
    monkeypatch.setattr(f"{launcher}.launch", lambda *_, **__: pytest.fail("processes have started"))
    trainer = {"devices": 3, "strategy": "ddp"}
    with pytest.raises(ValueError, match=r"Expected data\.batch_size to be a multiple of 3"):
        main(["fit", *config(tmp_path, "run", tiny_root, student(), trainer=trainer)])


def test_an_evaluation_may_have_more_processes_than_a_batch_has_samples(tiny_root: Path) -> None:
    served = []
    for rank in range(3):
        for batch in of_process(tiny_root, rank, 3, 2).val_dataloader():
            served += batch["index"].tolist()
    assert sorted(served) == list(range(16))
