"""The device of these tests: a GPU, or what MMPKD_TEST_DEVICE names, such as `cpu` to try the tests themselves."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from tests.tiny import TinyDataModule

DEVICE = torch.device(os.environ.get("MMPKD_TEST_DEVICE", "cuda"))
MARKS = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def data(root: Path) -> TinyDataModule:
    """Return tiny data without augmentation, which would need a library that the environment may lack."""
    return TinyDataModule(str(root), shift=0.0)


def trainer(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    """Return a trainer on the device."""
    settings: dict[str, Any] = {"max_epochs": 1, "deterministic": True, **options}
    return Trainer(
        accelerator="gpu" if DEVICE.type == "cuda" else "cpu",
        devices=1,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **settings,
    )
