"""A trainer for tests, which neither prints, logs nor saves anything by itself."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer


def quiet_trainer(folder: Path, **options: Any) -> Trainer:
    """Return a trainer for one epoch on the CPU, unless `options` say otherwise."""
    settings: dict[str, Any] = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    return Trainer(**{**settings, **options})
