"""Fits and validations of this library on a GPU, for `gpu.py`."""

import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from distillation import NUM_CLASSES
from gpu_loops import Sizes, now
from lightning.pytorch import Callback, LightningModule, Trainer
from synthetic import SyntheticDataModule
from timing import optimizer_step
from torch import Tensor

from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.modules import DistillationModule
from mmpkd.students import VisionTransformerStudent
from mmpkd.teachers.lookup import TeacherLookup


class Clock(Callback):
    """Times the steps after the first ones.

    Args:
        warm_up: Steps before the clock starts.
        device: Where the work is done.
    """

    def __init__(self, warm_up: int, device: torch.device) -> None:
        self.warm_up, self.device = warm_up, device
        self.start = self.seconds = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Start after the first steps."""
        if batch_idx == self.warm_up:
            self.start = now(self.device)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        self.seconds = now(self.device) - self.start

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start after the first steps."""
        if batch_idx == self.warm_up:
            self.start = now(self.device)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        self.seconds = now(self.device) - self.start


def student(sizes: Sizes, teacher: TeacherLookup | None) -> DistillationModule:
    """Return a student with a teacher, or without."""
    student = VisionTransformerStudent(sizes.model, NUM_CLASSES, sizes.side, compile=sizes.compile)
    module = DistillationModule(student)
    module._teacher = teacher
    return module


def trainer(device: torch.device, folder: str, callbacks: list[Callback], **options: Any) -> Trainer:
    """Return a trainer that does nothing but train."""
    return Trainer(
        max_epochs=1,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed",
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )


def fit(
    sizes: Sizes, device: torch.device, teacher: Callable[[], TeacherLookup | None], callbacks: list[ImagesOnDevice]
) -> float:
    """Return the seconds of the timed steps of a fit.

    Args:
        sizes: What is measured.
        device: Where.
        teacher: Returns the teacher, or None for a baseline.
        callbacks: ImagesOnDevice, if images are augmented on the device; otherwise loader processes augment them.
    """
    clock = Clock(sizes.warm_up, device)
    workers = 0 if callbacks and callbacks[0].max_share else sizes.workers
    data = SyntheticDataModule(sizes.side, sizes.batch, sizes.steps + sizes.warm_up, 1, workers)
    with tempfile.TemporaryDirectory() as folder:
        trainer(device, folder, [*callbacks, clock], limit_val_batches=0).fit(student(sizes, teacher()), data)
    return clock.seconds


def validate(sizes: Sizes, device: torch.device, callbacks: list[Callback]) -> float:
    """Return the seconds of the timed batches of a validation, the end of the epoch included."""
    clock = Clock(sizes.warm_up, device)
    data = SyntheticDataModule(sizes.side, sizes.batch, 2, sizes.steps + sizes.warm_up)
    with tempfile.TemporaryDirectory() as folder:
        trainer(device, folder, [*callbacks, clock]).validate(student(sizes, None), data, verbose=False)
    return clock.seconds


def num_waits(sizes: Sizes, device: torch.device, teacher: TeacherLookup | None) -> int:
    """Return how often the host waits for a CUDA device in one training step."""
    module = student(sizes, None if teacher is None else teacher.to(device)).to(device).train()
    index = torch.arange(sizes.batch, device=device)
    image = torch.randn(sizes.batch, 1, sizes.side, sizes.side, device=device)
    batch: Any = {"image": image, "label": torch.ones(sizes.batch, NUM_CLASSES, device=device), "index": index}

    def loss() -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return module.losses(batch)["loss"]

    step = optimizer_step(module, loss)
    for _ in range(3):
        step()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        step()
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)
