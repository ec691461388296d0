"""Images in device memory; a CPU stands in for the GPU."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from data_modules.batch import Batch
from data_modules.images.device_images import DeviceImages, augment, uniform
from data_modules.images.prepare import prepare_images
from data_modules.images.prepared import Depth
from data_modules.images.transforms import Augmentation
from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.commands.main import main
from mmpkd.modules import DistillationModule
from tests.runs import config, data, student
from tests.tiny import TinyDataModule, tiny_student

CPU = torch.device("cpu")


def prepared_module(root: Path, depth: Depth = "uint8") -> TinyDataModule:
    plain = TinyDataModule(str(root / "files"), batch_size=4, shift=0.0)
    splits = plain.splits.values()
    names, files = np.concatenate([s.sample_id for s in splits]), [f for s in splits for f in s.image]
    prepare_images(root / "p", plain.preparation, names, files, depth, num_workers=0)
    return TinyDataModule(str(root / "files"), batch_size=4, shift=0.0, prepared=root / "p")


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_batches_are_those_of_the_loader(tmp_path: Path, depth: Depth) -> None:
    module = prepared_module(tmp_path, depth)
    prepared = module.prepared_images("train")
    assert prepared is not None
    images = DeviceImages(prepared, None, module.mean, module.std, 0, CPU)
    for batch in module.train_dataloader():
        found = images.batch(batch["index"], epoch=0)
        torch.testing.assert_close(found, batch["image"], atol=1e-5, rtol=1e-5)
    assert images.pixels.element_size() == (1 if depth == "uint8" else 2)


@given(st.integers(0, 2**31), st.integers(0, 1000))
@settings(max_examples=20)
def test_random_numbers_depend_on_seed_epoch_and_index_alone(seed: int, epoch: int) -> None:
    index = torch.arange(2000)
    u = uniform(seed, epoch, index, 3)
    torch.testing.assert_close(uniform(seed, epoch, index[700:710], 3), u[700:710], rtol=0, atol=0)
    assert u.min() >= 0
    assert u.max() < 1
    assert (u.mean(0) - 0.5).abs().max() < 0.04
    streams = torch.cat([u, uniform(seed, epoch + 1, index, 3), uniform(seed + 1, epoch, index, 3)], dim=1)
    assert torch.corrcoef(streams.T).fill_diagonal_(0).abs().max() < 0.12


def test_a_shift_moves_whole_pixels() -> None:
    image = torch.rand(8, 1, 32, 32)
    moved = augment(image, Augmentation(shift=0.1), 0, 0, torch.arange(8))
    inner = slice(4, 28)
    found = set()
    for before, after in zip(image[:, 0], moved[:, 0], strict=True):
        offsets = [(y, x) for y in range(-3, 4) for x in range(-3, 4)]
        matches = [
            o for o in offsets if torch.allclose(after[inner, inner], before.roll(o, (0, 1))[inner, inner], atol=1e-4)
        ]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) > 3


def test_each_change_does_what_it_says() -> None:
    index = torch.arange(200)
    flat = torch.full((200, 1, 8, 8), 0.5)
    bright = augment(flat, Augmentation(brightness=0.2), 0, 0, index)[:, 0, 0, 0]
    assert 0.3 <= bright.min() < 0.32
    assert 0.68 < bright.max() <= 0.7
    strong = augment(flat, Augmentation(contrast=0.2), 0, 0, index)[:, 0, 0, 0]
    assert 0.4 <= strong.min() < strong.max() <= 0.6
    assert augment(flat + 0.5, Augmentation(brightness=0.2), 0, 0, index).max() <= 1
    ramp = torch.linspace(0, 1, 8).expand(200, 1, 8, 8)
    mirrored = augment(ramp, Augmentation(horizontal_flip=0.5), 0, 0, index)
    share = (mirrored[:, 0, 0, 0] > 0.5).float().mean()
    assert 0.4 < share < 0.6
    torch.testing.assert_close(mirrored[mirrored[:, 0, 0, 0] > 0.5][0], ramp[0].flip(-1), atol=1e-5, rtol=0)
    # a disc about the centre stays where it is under rotation, and grows or shrinks with the scale
    y, x = torch.meshgrid(torch.arange(64.0) - 31.5, torch.arange(64.0) - 31.5, indexing="ij")
    disc = (x.square() + y.square() < 15**2).float().expand(200, 1, 64, 64)
    turned = augment(disc, Augmentation(rotate=45), 0, 0, index)
    assert (turned - disc).abs().mean() < 0.01
    area = augment(disc, Augmentation(scale=0.2), 0, 0, index).sum((1, 2, 3)) / disc[0].sum()
    assert 0.62 < area.min() < 0.72
    assert 1.36 < area.max() < 1.46


@pytest.mark.slow
def test_training_with_images_on_the_device_equals_training_through_the_loader(tmp_path: Path) -> None:
    prepared_module(tmp_path)
    losses = []
    for name, callbacks in (
        ("loader", []),
        ("device", [{"class_path": "mmpkd.callbacks.device_images.ImagesOnDevice"}]),
    ):
        settings = data(tmp_path / "files", prepared=str(tmp_path / "p"), shift=0.0)
        arguments = config(tmp_path, name, tmp_path, student(), data=settings, trainer={"callbacks": callbacks})
        assert main(["fit", *arguments]) == 0
        metrics = pd.read_csv(tmp_path / name / "metrics.csv")
        losses.append(metrics.loc[metrics["name"] == "train/loss", "value"].to_numpy())
    assert len(losses[0]) > 4
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


class First(Callback):
    """Keeps what the loader serves, before another callback adds to it."""

    def __init__(self) -> None:
        self.served: set[str] = set()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.served |= set(batch)


def trainer_on_device(folder: Path, *others: Callback, max_share: float = 0.4, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        callbacks=[*others, ImagesOnDevice(max_share)],
        logger=False,
        limit_train_batches=1,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        **options,
    )


def module() -> DistillationModule:
    return DistillationModule(tiny_student(options={"depth": 1, "embed_dim": 16, "num_heads": 2}))


def test_the_loader_decodes_no_image_that_is_on_the_device(tmp_path: Path) -> None:
    first = First()
    trainer_on_device(tmp_path, first, max_epochs=1).fit(module(), prepared_module(tmp_path))
    assert first.served == {"label", "index", "sample_id", "patient_id"}


class Fail(Callback):
    """Fails in the first step."""

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        raise RuntimeError("broken")


def test_after_an_error_the_loader_serves_images_again(tmp_path: Path) -> None:
    data_module = prepared_module(tmp_path)
    with pytest.raises(RuntimeError, match="broken"):
        trainer_on_device(tmp_path, Fail(), max_epochs=1).fit(module(), data_module)
    assert not data_module.images_elsewhere
    assert "image" in next(iter(data_module.train_dataloader()))


class Images(Callback):
    """Keeps the images of each step, as the student sees them."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.seen.append(batch["image"])


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-true", torch.bfloat16)])
def test_each_epoch_is_augmented_anew_in_the_type_of_the_student(
    precision: Any, dtype: torch.dtype, tmp_path: Path
) -> None:
    data_module, images = prepared_module(tmp_path), Images()
    data_module.augmentation = Augmentation(brightness=0.3)
    data_module.batch_size = 64  # all samples, so that epochs differ in order and augmentation only
    trainer_on_device(tmp_path, images, max_epochs=2, precision=precision).fit(module(), data_module)
    first, second = (torch.sort(seen.float().mean((1, 2, 3)))[0] for seen in images.seen)
    assert images.seen[0].dtype == dtype
    assert len(first) == 64
    assert (first - second).abs().max() > 0.05


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_images_that_do_not_fit_train_the_same_student(depth: Depth, tmp_path: Path) -> None:
    data_module, seen = prepared_module(tmp_path, depth), []
    data_module.augmentation = Augmentation(shift=0.1, rotate=10, contrast=0.3)
    data_module.batch_size = 64  # all samples
    for max_share in (0.4, 0.0):
        images = Images()
        trainer_on_device(tmp_path, images, max_epochs=2, max_share=max_share).fit(module(), data_module)
        seen.append(torch.stack(images.seen))
        assert not data_module.augments_on_device
    assert torch.equal(*seen)


def test_prepared_images_are_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callbacks = [{"class_path": "mmpkd.callbacks.device_images.ImagesOnDevice"}]
    arguments = config(tmp_path, "run", tmp_path / "tiny", student(), trainer={"callbacks": callbacks})
    assert main(["fit", *arguments]) == 2
    assert "data.prepared" in capsys.readouterr().err
