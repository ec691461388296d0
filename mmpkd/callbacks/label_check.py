"""A check for labels that cannot be learned or scored, before anything is computed."""

import logging
from collections.abc import Iterable

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch
from data_modules.labels import metric_name, without_both_values
from data_modules.split import Split
from mmpkd.modules.base import ClassificationModule

logger = logging.getLogger("mmpkd")
SPLITS = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
MEASURES = ("auroc", "auprc", "f1")


class LabelCheck(Callback):
    """Logs the labels that are constant in a split that is trained on or scored.

    Such a label has no score in that split. That is allowed, because a test split may not be annotated for it. A fit is refused
    if the monitored score would be undefined, and `DataCheck` refuses labels that are constant in the whole training or
    validation split. For a teacher, only samples with privileged input count, since it is trained and scored on them.

    Args:
        monitor: Validation score that the best checkpoint is chosen by.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the labels before the module computes anything.

        Raises:
            ValueError: If the monitored score is undefined for all predictions.
        """
        data: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        names = SPLITS.get(stage, ())
        if trainer.limit_val_batches == 0 and stage == "fit":
            names = ("train",)
        splits = {name: data.splits[name] for name in names if name in data.splits}
        found = {
            name: without_both_values(_scored_labels(pl_module, split), data.label_names)
            for name, split in splits.items()
        }
        parts = [f"'{label}' is {what} in {name}" for name, labels in found.items() for label, what in labels.items()]
        if stage == "fit" and "val" in found:
            self._check_monitor(data.label_names, found["val"])
        if parts and trainer.is_global_zero:
            logger.warning(
                "Expected positive and negative samples of every label but %s. There is no score for it. `mmpkd check-data` "
                "counts labels.",
                ", ".join(parts),
            )

    def _check_monitor(self, label_names: tuple[str, ...], undefined: dict[str, str]) -> None:
        labels = scores_by_labels(label_names)[self.monitor]
        # a mean leaves out undefined labels, so a single defined one is enough
        if set(labels) <= set(undefined):
            listed = ", ".join(f"'{name}' is {undefined[name]}" for name in labels)
            raise ValueError(
                f"Expected a label with positive and negative samples in the validation split, which {self.monitor} needs to "
                f"choose the best checkpoint, but {listed}. Split the data differently, or set another run.monitor."
            )


def scores_by_labels(label_names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the validation scores that a checkpoint can be chosen by, each with the labels that it is computed from.

    A score is defined if at least one of its labels has positive and negative samples.
    """
    names = tuple(label_names)
    scores = {f"val/{measure}_macro": names for measure in MEASURES}
    for name in names:
        scores.update({f"val/{measure}/{metric_name(name)}": (name,) for measure in MEASURES})
    return scores


def _scored_labels(pl_module: LightningModule, split: Split) -> NDArray[np.float32]:
    """Return the labels (N, K) that the module is trained and scored on."""
    if not isinstance(pl_module, ClassificationModule):
        raise TypeError(f"Expected a ClassificationModule but got {type(pl_module).__name__}.")
    batch: Batch = {
        "label": torch.from_numpy(split.label),
        "has_privileged": torch.from_numpy(split.has_privileged),
    }
    label: NDArray[np.float32] = pl_module.evaluation_label(batch).numpy()
    return label
