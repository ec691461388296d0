"""Columns of the table of ROIs that do not depend on the attribution."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from data_modules.batch import Batch
from data_modules.split import Split
from mmpkd.callbacks.tables import label_names
from mmpkd.records.roi_table import STRATUM

Columns = dict[str, Tensor | Sequence[str]]


def pair_columns(
    trainer: Trainer, pl_module: LightningModule, batch: Batch, probability: Tensor, stage: str
) -> Columns:
    """Return the columns of the R (image, finding) pairs of a batch that do not depend on the attribution.

    Args:
        trainer: Trainer with the data module.
        pl_module: Module with `scores.thresholds` from validation, which decide whether a finding was recognised.
        batch: The batch.
        probability: Float (B, K).
        stage: `val` or `test`.

    Returns:
        Tensors (R,) or lists of R strings, by column name.
    """
    names = label_names(trainer)
    samples = batch["roi_sample"].tolist()
    findings = batch["roi_label"].tolist()
    own = probability[batch["roi_sample"], batch["roi_label"]]
    target = batch["label"][batch["roi_sample"], batch["roi_label"]]
    columns: Columns = {
        "sample_id": [batch["sample_id"][row] for row in samples],
        "finding": [names[finding] for finding in findings],
        "patient_id": [batch["patient_id"][row] for row in samples],
        "target": target,
        "probability": own,
        "recognised": _recognised(pl_module, own, target, batch["roi_label"], stage),
    }
    # a user's data module may have no splits
    split: Split | None = getattr(getattr(trainer, "datamodule", None), "splits", {}).get(stage)
    if split is None:
        return columns
    index = batch["index"].tolist()
    rows = [index[row] for row in samples]
    columns["num_regions"] = torch.tensor([_num_regions(split, *pair) for pair in zip(rows, findings, strict=True)])
    for name, values in split.strata.items():
        columns[f"{STRATUM}{name}"] = [str(values[row]) for row in rows]
    return columns


def _recognised(pl_module: LightningModule, probability: Tensor, target: Tensor, label: Tensor, stage: str) -> Tensor:
    """Return whether predictions are right at the thresholds from validation, float32 (R,): 1, 0, or NaN if unknown."""
    thresholds: Tensor | None = getattr(getattr(pl_module, "scores", None), "thresholds", None)
    if stage == "val" or thresholds is None:
        # validation chooses the thresholds, so it cannot also judge them
        return torch.full_like(probability, torch.nan)
    right = (probability >= thresholds[label]) == (target > 0.5)
    return torch.where(target.isnan(), torch.nan, right.float())


def _num_regions(split: Split, row: int, label: int) -> int:
    return sum(len(roi.regions) for roi in split.rois.get(row, ()) if roi.label == label)
