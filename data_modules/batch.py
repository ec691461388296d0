"""The batch contract between data modules and models, defined here and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Privileged(TypedDict, total=False):
    """Privileged input of B samples, seen by teachers only.

    Attributes:
        report: B texts; an empty string where a sample has none.
        numeric: Float32 (B, F), NaN where a value is missing.
        categorical: Float32 multi-hot (B, M), all zeros where a value is missing.
    """

    report: list[str]
    numeric: Tensor
    categorical: Tensor


class Batch(TypedDict, total=False):
    """B samples.

    Attributes:
        image: Float32 (B, C, H, W), normalised. Absent when a data module does not load images. On its way to the device of a
            trainer, prepared images may still be as stored (`data_modules.images.stored_pixels`).
        label: Float32 (B, K): 1 present, 0 absent, NaN not stated (contributes to no loss and no metric).
        privileged: See `Privileged`. Absent at predict time.
        has_privileged: Bool (B,), False where a sample has no report or table.
        index: Int64 (B,), position in the split; addresses the stored teacher targets.
        sample_id: B stable identifiers.
        patient_id: B patient identifiers, the unit of splitting and of the bootstrap.
        roi_mask: Bool (R, H, W), one mask per (image, finding) pair with an annotated region. R may be 0.
        roi_sample: Int64 (R,), the row of the batch that a mask belongs to.
        roi_label: Int64 (R,), the finding that a mask shows, an index into the K labels.
    """

    image: Tensor
    label: Tensor
    privileged: Privileged
    has_privileged: Tensor
    index: Tensor
    sample_id: list[str]
    patient_id: list[str]
    roi_mask: Tensor
    roi_sample: Tensor
    roi_label: Tensor


@dataclass(frozen=True)
class Sample:
    """One sample before collation; a field is None where the data module was told not to load it.

    Attributes:
        label: Float32 (K,).
        index: Position in the split.
        sample_id: Stable identifier.
        patient_id: Patient identifier.
        image: Float32 (C, H, W), uint8 or int16 as stored, or None.
        report: Text, empty if there is none, or None.
        numeric: Float32 (F,) or None.
        categorical: Float32 (M,) or None.
        has_privileged: Whether the sample has privileged input, or None.
        roi_mask: Bool (r, H, W) or None.
        roi_label: Int64 (r,) or None.
    """

    label: NDArray[np.float32]
    index: int
    sample_id: str
    patient_id: str
    image: NDArray[np.generic] | None = None
    report: str | None = None
    numeric: NDArray[np.float32] | None = None
    categorical: NDArray[np.float32] | None = None
    has_privileged: bool | None = None
    roi_mask: NDArray[np.bool_] | None = None
    roi_label: NDArray[np.int64] | None = None


def collate(samples: Sequence[Sample]) -> Batch:
    """Join samples of one split into a batch.

    Args:
        samples: At least one sample; all come from the same split, so all lack the same fields.

    Returns:
        The batch, with a key for each field that the samples have.
    """
    batch: Batch = {
        "label": torch.from_numpy(np.stack([s.label for s in samples])),
        "index": torch.tensor([s.index for s in samples], dtype=torch.int64),
        "sample_id": [s.sample_id for s in samples],
        "patient_id": [s.patient_id for s in samples],
    }
    images = [s.image for s in samples if s.image is not None]  # (C, H, W) each
    if images:
        batch["image"] = torch.from_numpy(np.stack(images))
        batch.update(_collate_rois(samples, images[0].shape[-2:]))
    if samples[0].has_privileged is not None:
        batch["privileged"] = _collate_privileged(samples)
        batch["has_privileged"] = torch.tensor([bool(s.has_privileged) for s in samples])
    return batch


def _collate_rois(samples: Sequence[Sample], size: tuple[int, ...]) -> Batch:
    rows = [(row, s.roi_mask, s.roi_label) for row, s in enumerate(samples)]
    owned = [(row, mask, label) for row, mask, label in rows if mask is not None and label is not None]
    # without any region, arrays of length 0 keep their types and shapes
    masks = [mask for _, mask, _ in owned] or [np.zeros((0, *size), dtype=np.bool_)]
    labels = [label for _, _, label in owned] or [np.zeros(0, dtype=np.int64)]
    sample = [np.full(len(mask), row, dtype=np.int64) for row, mask, _ in owned] or [np.zeros(0, np.int64)]
    return {
        "roi_mask": torch.from_numpy(np.concatenate(masks)),
        "roi_sample": torch.from_numpy(np.concatenate(sample)),
        "roi_label": torch.from_numpy(np.concatenate(labels)),
    }


def _collate_privileged(samples: Sequence[Sample]) -> Privileged:
    privileged: Privileged = {}
    if samples[0].report is not None:
        privileged["report"] = [s.report or "" for s in samples]
    if samples[0].numeric is not None:
        privileged["numeric"] = torch.from_numpy(np.stack([s.numeric for s in samples if s.numeric is not None]))
    if samples[0].categorical is not None:
        rows = [s.categorical for s in samples if s.categorical is not None]
        privileged["categorical"] = torch.from_numpy(np.stack(rows))
    return privileged
