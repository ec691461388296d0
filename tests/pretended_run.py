"""Fits on a pretended device, and a callback that writes down where a run waits for it."""

import re
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tests.pretended_device import DEVICE, PretendedDevice, PretendedStrategy
from tests.tiny import TinyDataModule

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PARTS = ("training step", "validation step", "end of validation", "test step")


class Reads(Callback):
    """Sorts what was waited for by the part of the run."""

    def __init__(self, device: PretendedDevice) -> None:
        self.device = device
        self.by_part: dict[str, set[str]] = {part: set() for part in PARTS}

    def _take(self, part: str) -> None:
        self.by_part[part].update(read.split()[0].rstrip(":") for read in self.device.reads)
        self.device.reads.clear()

    def _leave_out(self) -> None:
        """Forget what was waited for between the parts."""
        self.device.reads.clear()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert pl_module.device == DEVICE
        self._leave_out()

    def on_train_batch_end(self, *_: Any) -> None:
        self._take("training step")

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave_out()

    def on_validation_batch_end(self, *_: Any) -> None:
        self._take("validation step")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take("end of validation")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave_out()

    def on_test_batch_end(self, *_: Any) -> None:
        self._take("test step")


def fit(
    module: LightningModule,
    root: Path,
    folder: Path,
    *callbacks: Callback,
    data: TinyDataModule | None = None,
    ckpt_path: Path | None = None,
    **options: Any,
) -> Trainer:
    """Train a module on the tiny data set on the device, and return the trainer."""
    trainer = Trainer(
        callbacks=list(callbacks),
        logger=False,
        log_every_n_steps=1,
        limit_val_batches=1,
        limit_test_batches=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,  # it forbids views of tensors like the pretended ones
        default_root_dir=folder,
        **{
            "strategy": PretendedStrategy(),
            "max_epochs": 1,
            "limit_train_batches": 2,
            "enable_checkpointing": False,
            **options,
        },
    )
    trainer.fit(module, data or TinyDataModule(str(root)), ckpt_path=ckpt_path)
    return trainer


def documented(part: str) -> set[str]:
    """Return the files in which the documentation says that the device is waited for in a part of a run, and Lightning."""
    (row,) = re.findall(rf"^\| {part} \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    return set(re.findall(r"mmpkd/[\w/]+\.py|Lightning", row))
