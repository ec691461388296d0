"""Lightning's own trainer, as a notebook makes it: its processes are forked, and it brings samplers of its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.multiprocessing.spawn import start_processes

from data_modules.batch import Batch
from mmpkd.callbacks.checkpoints.rng import RNGState
from mmpkd.commands.processes.run import PROGRAM
from mmpkd.modules import DistillationModule
from mmpkd.study.execution.forked import start_server
from tests.quiet_trainer import quiet_trainer
from tests.tiny import TinyDataModule, tiny_student

NUM_TRAIN, NUM_EVAL, SEED = 12, 5, 4


class Watch(Callback):
    """Writes down what a process was served, and a random number that it drew in its first step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[str, list[int]] = {"train": [], "val": []}
        self.drawn = torch.empty(0)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.seen["train"] += batch["index"].tolist()
        if not batch_idx:
            self.drawn = torch.rand(4)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.seen["val"] += batch["index"].tolist()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = [p.detach() for p in pl_module.parameters()]
        torch.save(
            {**self.seen, "drawn": self.drawn, "weights": weights}, self.folder / f"rank{trainer.global_rank}.pt"
        )
        trainer.save_checkpoint(self.folder / "saved.ckpt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    start_server(PROGRAM)
    # in a process of its own: this one may have trained, and a fork of such a process cannot
    start_processes(notebook, args=(str(tiny_root), str(folder)), nprocs=1, start_method="forkserver")
    return folder


def notebook(_: int, root: str, folder: str) -> None:
    torch.set_num_threads(1)
    fit(Path(root), Path(folder), [RNGState(SEED), Watch(Path(folder))], 6, devices=2, strategy="ddp_fork")


def fit(tiny_root: Path, folder: Path, callbacks: list[Callback], batch_size: int = 3, **options: Any) -> None:
    trainer = quiet_trainer(folder, callbacks=callbacks, **options)
    module = DistillationModule(tiny_student(options={"depth": 1, "embed_dim": 16, "num_heads": 2}))
    trainer.fit(module, TinyDataModule(str(tiny_root), batch_size=batch_size, num_train=NUM_TRAIN, num_eval=NUM_EVAL))


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_each_sample_is_served_once(ranks: list[dict[str, Any]]) -> None:
    for name, size in (("train", NUM_TRAIN), ("val", NUM_EVAL)):
        assert sorted(ranks[0][name] + ranks[1][name]) == list(range(size)), name


def test_processes_have_equal_weights_and_random_numbers_of_their_own(ranks: list[dict[str, Any]]) -> None:
    assert all(torch.equal(*pair) for pair in zip(ranks[0]["weights"], ranks[1]["weights"], strict=True))
    assert not (ranks[0]["drawn"] == ranks[1]["drawn"]).any()


def test_a_checkpoint_holds_the_generators_of_each_process(folder: Path) -> None:
    saved = torch.load(folder / "saved.ckpt", weights_only=True)["callbacks"]["RNGState"]["processes"]
    assert len(saved) == 2
    assert not torch.equal(saved[0]["torch"], saved[1]["torch"])


def test_the_sampler_of_overfit_batches_is_served(tiny_root: Path, tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    fit(tiny_root, tmp_path, [watch], overfit_batches=2)
    assert watch.seen["train"] == [0, 1, 2, 3, 4, 5]
