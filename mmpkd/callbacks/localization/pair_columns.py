"""What the per-ROI table tells about each (image, finding) pair of a batch."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from data_modules.batch import Batch
from data_modules.split import Split
from mmpkd.callbacks.tables import label_names
from mmpkd.records.roi_table import STRATUM


def pair_columns(
    trainer: Trainer, pl_module: LightningModule, batch: Batch, probability: Tensor, stage: str
) -> dict[str, Tensor | Sequence[str]]:
    """Return what is known about each (image, finding) pair of a batch, whatever the attribution.

    Args:
        trainer: The trainer, with the data module.
        pl_module: Module whose `scores.thresholds`, from validation, say from which probability on a finding counts as
            recognised.
        batch: The batch.
        probability: Float (B, K).
        stage: `val` or `test`.
    """
    names, samples, findings = label_names(trainer), batch["roi_sample"].tolist(), batch["roi_label"].tolist()
    own = probability[batch["roi_sample"], batch["roi_label"]]
    target = batch["label"][batch["roi_sample"], batch["roi_label"]]
    columns: dict[str, Tensor | Sequence[str]] = {
        "sample_id": [batch["sample_id"][row] for row in samples],
        "finding": [names[finding] for finding in findings],
        "patient_id": [batch["patient_id"][row] for row in samples],
        "target": target,
        "probability": own,
        "recognised": _recognised(pl_module, own, target, batch["roi_label"], stage),
    }
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
    """Return 1 where the prediction is right at the threshold of validation, 0 where it is wrong, NaN where that is not known."""
    thresholds: Tensor | None = getattr(getattr(pl_module, "scores", None), "thresholds", None)
    if stage == "val" or thresholds is None:
        return torch.full_like(probability, torch.nan)  # a validation would judge itself
    right = (probability >= thresholds[label]) == (target > 0.5)
    return torch.where(target.isnan(), torch.nan, right.float())


def _num_regions(split: Split, row: int, label: int) -> int:
    return sum(len(roi.regions) for roi in split.rois.get(row, ()) if roi.label == label)
