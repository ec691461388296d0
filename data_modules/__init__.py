"""Everything between disk and batch: readers, ROI geometry, augmentation and data modules."""

import os

# albumentations asks a server for its newest version when it is imported, unless this is set first.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def __getattr__(name: str) -> object:
    """Return the data module of sets that nothing is trained on; imported when it is asked for, since it needs PyTorch."""
    if name != "EvaluationDataModule":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from data_modules.evaluation import EvaluationDataModule

    return EvaluationDataModule
