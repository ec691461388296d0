"""Everything between disk and batch: readers, ROI geometry, augmentation and data modules."""

import os

# Without this, albumentations asks a server for its newest version as soon as it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def __getattr__(name: str) -> object:
    """Return `EvaluationDataModule`, which is imported only when it is used, since it needs PyTorch."""
    if name != "EvaluationDataModule":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from data_modules.evaluation import EvaluationDataModule

    return EvaluationDataModule
