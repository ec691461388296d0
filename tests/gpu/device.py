"""The device of these tests: a GPU if there is one, or what MMPKD_TEST_DEVICE names.

Without a GPU, they are tried on the CPU, so that they are not out of date when there is one. Those marked `ON_GPU`, which take
long there or repeat other tests, are tried with `MMPKD_TEST_DEVICE=cpu` only.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from tests.tiny import TinyDataModule

ASKED = os.environ.get("MMPKD_TEST_DEVICE")
DEVICE = torch.device(ASKED or ("cuda" if torch.cuda.is_available() else "cpu"))
MARKS = [pytest.mark.gpu]
ON_GPU = pytest.mark.skipif(ASKED is None and DEVICE.type == "cpu", reason="there is no CUDA device")


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
