"""Images that reach the device as they are stored give what normalised images of a loader process give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from data_modules.batch import Batch, collate
from data_modules.dataset import PrivilegedDataset
from data_modules.images.prepared import Depth
from data_modules.images.stored_pixels import TYPES, for_torch, grey_values, in_unit_range
from data_modules.images.transforms import Augmentation, SampleTransform
from mmpkd.modules import DistillationModule
from tests.data_modules.images.test_device_images import prepared_module
from tests.quiet_trainer import quiet_trainer
from tests.tiny import TinyDataModule, tiny_student

STUDENT = {"depth": 1, "embed_dim": 16, "num_heads": 2}


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_every_grey_value_is_the_same_bit_by_bit(depth: Depth) -> None:
    stored = np.arange(np.iinfo(depth).max + 1).astype(depth)
    expected = in_unit_range(stored)
    assert (expected[0], expected[-1]) == (0, 1)
    pixels = torch.from_numpy(for_torch(stored))
    assert pixels.dtype == TYPES[depth]
    assert torch.equal(grey_values(pixels), torch.from_numpy(expected))


class Reads(Callback):
    """Keeps the images of each step and validation, and their type as the training loader serves them."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.served = torch.float32

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.images.append(batch["image"].clone())
        loader: Any = trainer.train_dataloader
        self.served = loader.collate_fn([loader.dataset[0, 0]])["image"].dtype

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.images.append(batch["image"].clone())


def fit(folder: Path, *data: Any, precision: Any = "32-true") -> tuple[Reads, DistillationModule]:
    torch.manual_seed(0)
    reads, student = Reads(), DistillationModule(tiny_student(options=STUDENT))
    trainer = quiet_trainer(folder, limit_train_batches=3, limit_val_batches=2, precision=precision, callbacks=[reads])
    trainer.fit(student, *data)
    return reads, student


def loaders(data: TinyDataModule) -> tuple[Any, Any]:
    """Return loaders of their own, as a plain loop in PyTorch has them."""
    return data.train_dataloader(), data.val_dataloader()


@pytest.mark.parametrize(("depth", "precision"), [("uint8", "32-true"), ("uint16", "32-true"), ("uint8", "bf16-true")])
def test_a_fit_is_the_same_with_pixels_as_stored(depth: Depth, precision: str, tmp_path: Path) -> None:
    data = prepared_module(tmp_path, depth)
    expected, plain = fit(tmp_path, *loaders(data), precision=precision)
    found, student = fit(tmp_path, data, precision=precision)
    assert (expected.served, found.served) == (torch.float32, TYPES[depth])
    assert len(found.images) == 5
    assert all(torch.equal(*pair) for pair in zip(found.images, expected.images, strict=True))
    assert found.images[0].dtype == expected.images[0].dtype
    for one, other in zip(student.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
    # the trainer has ended: whoever reads the loaders now gets normalised images again
    assert all(next(iter(loader))["image"].dtype == torch.float32 for loader in loaders(data))


def test_images_that_are_augmented_as_floats_are_served_as_floats(tmp_path: Path) -> None:
    data = prepared_module(tmp_path)
    data.augmentation = Augmentation(shift=0.1)
    assert fit(tmp_path, data)[0].served == torch.float32


def halved(batch: Batch) -> Batch:
    return {**batch, "image": batch["image"] / 2}


class Collates(TinyDataModule):
    def train_dataloader(self) -> DataLoader[Any]:
        loader = super().train_dataloader()
        return DataLoader(
            loader.dataset, 4, sampler=loader.sampler, collate_fn=lambda samples: halved(collate(samples))
        )


class Combines(TinyDataModule):
    def train_dataloader(self) -> Any:
        return {"first": super().train_dataloader(), "second": super().train_dataloader()}


class ChangesBefore(TinyDataModule):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return halved(batch)


class Transfers(TinyDataModule):
    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return halved(batch)


class Normalises(TinyDataModule):
    def dataset(self, name: str, load_images: bool, load_privileged: bool) -> PrivilegedDataset:
        dataset = super().dataset(name, load_images, load_privileged)
        # half of what normalisation gives
        dataset.transform = SampleTransform(None, self.mean, 2 * self.std, self.seed, self.image_size)
        return dataset


class Steps(LightningModule):
    """A module in plain Lightning that keeps the images of its step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.images: list[Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.images.append(batch.get("first", batch)["image"])
        return self.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        del batch, batch_idx

    def configure_optimizers(self) -> Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class ChangesBeforeInModule(Steps):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return halved(batch)


@pytest.mark.parametrize(
    ("kind", "module", "factor"),
    [
        (TinyDataModule, Steps, 1),
        (TinyDataModule, ChangesBeforeInModule, 0.5),
        (Collates, Steps, 0.5),
        (Combines, Steps, 1),
        (ChangesBefore, Steps, 0.5),
        (Transfers, Steps, 0.5),
        (Normalises, Steps, 0.5),
    ],
)
def test_code_of_the_user_sees_normalised_images(
    kind: type[TinyDataModule], module: type[Steps], factor: float, tmp_path: Path
) -> None:
    data = prepared_module(tmp_path, "uint16")
    expected = next(iter(data.train_dataloader()))["image"]
    own = kind(str(data.root), batch_size=4, shift=0.0, prepared=data.prepared)
    steps = module()
    trainer = Trainer(
        fast_dev_run=1, limit_val_batches=0, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(steps, own)
    torch.testing.assert_close(steps.images[0], expected * factor)


def test_integer_images_of_ones_own_reach_the_module_as_they_are(tmp_path: Path) -> None:
    data = TinyDataModule(str(tmp_path))
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    for dtype in (torch.uint8, torch.int64):
        batch = {"image": torch.full((1, 1, 2, 2), 3, dtype=dtype)}
        assert data.transfer_batch_to_device(batch, torch.device("cpu"), 0)["image"].dtype == dtype


def test_a_cache_of_prepared_images_takes_the_bytes_of_the_file(tmp_path: Path) -> None:
    data = prepared_module(tmp_path)
    plain = data.dataset("test", True, False)
    data.cache_images = True
    cached = data.dataset("test", True, False)
    for index in (3, 3):
        np.testing.assert_array_equal(cached[0, index].image, plain[0, index].image)
    assert cached._images is not None
    kept = cached._images.get(3)
    assert kept is not None
    assert kept.nbytes == data.image_size**2
