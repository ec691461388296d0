"""Choice of the images to draw: a fixed set, plus examples of hits and misses."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback, Trainer
from numpy.typing import NDArray
from torch import Tensor

from data_modules.base import PrivilegedDataModule


@dataclass(frozen=True)
class MapSample:
    """One image with its ROIs, on the CPU.

    Attributes:
        sample_id: Stable identifier.
        image: Float (C, H, W), normalised.
        roi_mask: Bool (r, H, W), masks of the r ROIs.
        roi_label: Finding of each ROI, as an index of the labels.
        target: Label of each finding: 1, 0, or NaN if unknown.
        probability: Predicted probability of each finding.
    """

    sample_id: str
    image: Tensor
    roi_mask: NDArray[np.bool_]
    roi_label: tuple[int, ...]
    target: tuple[float, ...]
    probability: tuple[float, ...]

    @property
    def grey(self) -> NDArray[np.float32]:
        """The image as float32 (H, W) in [0, 1], stretched to its own range, for display only."""
        image = self.image.float().mean(0)
        low, high = image.aminmax()
        scaled = ((image - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)).clamp(0, 1)
        return np.asarray(scaled.numpy(), dtype=np.float32)


def rank(sample_id: str) -> str:
    """Return a hash of an identifier. Images are chosen by their hashes, so the order of a split does not matter."""
    return hashlib.sha256(sample_id.encode()).hexdigest()


def choose_fixed(pairs: pd.DataFrame, num_images: int) -> list[str]:
    """Choose images independently of any result: those with the smallest and the largest ROI, then one of each finding in turn.

    Args:
        pairs: One row per (image, finding) pair, with `sample_id`, `finding` and `area` > 0.
        num_images: Maximum number of images.

    Returns:
        Identifiers of the images.
    """
    by_area = pairs.sort_values(["area", "sample_id"], kind="stable")["sample_id"].tolist()
    queues = [sorted(set(rows["sample_id"]), key=rank) for _, rows in pairs.groupby("finding", sort=True)]
    # a dict is an ordered set
    chosen: dict[str, None] = dict.fromkeys([by_area[0], by_area[-1]][:num_images]) if by_area else {}
    while any(queues) and len(chosen) < num_images:
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < num_images:
                chosen[queue.pop(0)] = None
    return list(chosen)


def choose_examples(pairs: pd.DataFrame, score: str, num_images: int, but: Sequence[str]) -> dict[str, list[str]]:
    """Choose images that a student hit and images that it missed, by a hash of their identifiers, not by score.

    Args:
        pairs: One row per (image, finding) pair, with `sample_id` and a score between 0 (miss) and 1 (hit).
        score: Name of the score.
        num_images: Maximum number of images of each kind.
        but: Identifiers to skip, because they are drawn anyway.

    Returns:
        Identifiers of `hits` and `misses`. An image is a hit if all of its pairs are hits.
    """
    worst = pairs[~pairs["sample_id"].isin(but)].groupby("sample_id")[score].min().dropna()
    kinds = {"hits": worst[worst >= 0.5], "misses": worst[worst < 0.5]}
    return {kind: sorted(map(str, found.index), key=rank)[:num_images] for kind, found in kinds.items()}


def check_names_images(trainer: Trainer, callback: Callback) -> None:
    """Check that the data module knows its images by name, before any long work.

    Raises:
        TypeError: If it does not, or if there is none.
    """
    if not hasattr(getattr(trainer, "datamodule", None), "splits"):
        raise TypeError(
            f"Expected a data module of data_modules, or a subclass of PrivilegedDataModule, for {type(callback).__name__}: it "
            "chooses images by their identifiers, which other data modules and data loaders do not have. Leave it out; "
            "LocalizationMonitor needs none."
        )


def load_samples(
    trainer: Trainer, stage: str, names: Sequence[str], pairs: pd.DataFrame, label_names: Sequence[str]
) -> list[MapSample]:
    """Load images by their identifiers, with their ROIs and predictions.

    Args:
        trainer: Trainer with the data module.
        stage: `val` or `test`.
        names: Identifiers of the images.
        pairs: One row per (image, finding) pair, with `sample_id`, `finding`, `target` and `probability`.
        label_names: Names of the labels, in the order of the data.
    """
    datamodule: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
    place = {name: row for row, name in enumerate(datamodule.splits[stage].sample_id.tolist())}
    dataset = datamodule.dataset(stage, True, False)
    # predictions by (identifier, finding)
    columns = zip(*(pairs[name] for name in ("sample_id", "finding", "target", "probability")), strict=True)
    known = {(name, finding): (float(target), float(p)) for name, finding, target, p in columns}
    samples = []
    for name in names:
        sample = dataset[0, place[name]]
        assert sample.image is not None
        assert sample.roi_mask is not None
        assert sample.roi_label is not None
        order = np.argsort(sample.roi_label, kind="stable")  # outlines are coloured in the order of the labels
        labels = tuple(int(label) for label in sample.roi_label[order])
        target = tuple(known[name, label_names[label]][0] for label in labels)
        probability = tuple(known[name, label_names[label]][1] for label in labels)
        image = torch.from_numpy(sample.image)
        samples.append(MapSample(name, image, sample.roi_mask[order], labels, target, probability))
    return samples


def caption(sample: MapSample, names: Sequence[str]) -> str:
    """Return finding, predicted probability and label of each ROI, but no identifier and no report text."""
    pairs = zip(sample.roi_label, sample.probability, sample.target, strict=True)
    labels = {0.0: "absent", 1.0: "present"}
    return "; ".join(f"{names[k]}: p = {p:.2f}, label {labels.get(y, 'unknown')}" for k, p, y in pairs)


def file_name(sample_id: str) -> str:
    """Return an identifier as a file name: characters other than letters, digits, `.`, `-` and `_` become `_`."""
    return re.sub(r"[^\w.-]", "_", sample_id)


def annotations(sample: MapSample, names: Sequence[str], scale: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the ROIs as W&B's boxes, one per connected component, and masks, one per finding, of an enlarged image."""
    import cv2

    class_labels = dict(enumerate(names))
    box_data: list[dict[str, Any]] = []
    masks: dict[str, Any] = {}
    for mask, finding, p in zip(sample.roi_mask, sample.roi_label, sample.probability, strict=True):
        # component 0 is the background
        for x, y, width, height, _ in cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2][1:].tolist():
            corners = {"minX": x, "maxX": x + width, "minY": y, "maxY": y + height}
            box_data.append(
                {
                    "position": {name: value * scale for name, value in corners.items()},
                    "domain": "pixel",
                    "class_id": finding,
                    "box_caption": names[finding],
                    "scores": {"probability": p},
                }
            )
        # 0 is the background, so classes of masks start at 1
        data = (mask * np.uint8(finding + 1)).repeat(scale, axis=0).repeat(scale, axis=1)
        masks[f"roi_{finding}"] = {"mask_data": data, "class_labels": {finding + 1: names[finding]}}
    return {"roi": {"box_data": box_data, "class_labels": class_labels}}, masks
