"""A small evaluation in memory: a module with a student, and samples of which some have regions of interest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from data_modules.batch import Batch, Sample, collate
from data_modules.split import Split
from mmpkd.students import VisionTransformerStudent

LABELS = ("Effusion", "Mass", "No Finding")
SIDE = 32


def make_samples(count: int = 7) -> list[Sample]:
    """Samples 0, 2 and 5 have one, two and one ROI; sample 6 has an empty one."""
    rng = np.random.default_rng(0)
    rois: dict[int, list[tuple[int, tuple[slice, slice]]]] = {
        0: [(0, (slice(0, 16), slice(0, 16)))],
        2: [(0, (slice(8, 32), slice(16, 24))), (1, (slice(4, 10), slice(3, 11)))],
        5: [(1, (slice(20, 30), slice(1, 30)))],
        6: [(1, (slice(0, 0), slice(0, 0)))],
    }
    samples = []
    for i in range(count):
        mask = np.zeros((len(rois.get(i, ())), SIDE, SIDE), dtype=np.bool_)
        for k, (_, box) in enumerate(rois.get(i, ())):
            mask[k][box] = True
        samples.append(
            Sample(
                label=np.array([i % 2, 1.0 if i != 2 else np.nan, 0], dtype=np.float32),
                index=i,
                sample_id=f"study/{i}",
                patient_id=f"patient{i // 2}",
                image=rng.normal(size=(1, SIDE, SIDE)).astype(np.float32),
                roi_mask=mask,
                roi_label=np.array([label for label, _ in rois.get(i, ())], dtype=np.int64),
            )
        )
    return samples


class MemoryData(LightningDataModule):
    label_names = LABELS
    license = "synthetic"

    def __init__(self, samples: Sequence[Sample], batch_size: int = 3) -> None:
        super().__init__()
        self.samples, self.batch_size = list(samples), batch_size

        self.unique = list({sample.sample_id: sample for sample in self.samples}.values())
        names = np.array([sample.sample_id for sample in self.unique])
        label = np.stack([sample.label for sample in self.unique])
        split = Split(names, names, [Path()] * len(names), label, np.ones(len(names), np.bool_))
        self.splits: dict[str, Split] = {"val": split, "test": split}
        self.image_size, self.mean, self.std = SIDE, 0.5, 0.25

    def dataset(self, name: str, load_images: bool, load_privileged: bool) -> dict[tuple[int, int], Sample]:
        del name, load_images, load_privileged
        return {(0, row): sample for row, sample in enumerate(self.unique)}

    def val_dataloader(self) -> Any:
        return DataLoader(self.samples, self.batch_size, collate_fn=collate)  # type: ignore[arg-type]

    train_dataloader = val_dataloader
    test_dataloader = val_dataloader


class StudentModule(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student = VisionTransformerStudent("vit_nano_patch8_64", len(LABELS), SIDE, options={"depth": 2})

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        del batch_idx
        output: Tensor = self.student(batch["image"]).logits
        return output.square().mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        del batch_idx
        logits: Tensor = self.student(batch["image"]).logits
        return {"probability": logits.float().sigmoid()}

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_trainer(folder: Path, callbacks: list[Callback], **options: Any) -> Trainer:
    settings: dict[str, Any] = {"logger": False, "accelerator": "cpu", "devices": 1, **options}
    return Trainer(
        default_root_dir=folder,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        **settings,
    )
