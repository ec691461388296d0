"""Pictures of where the student looks, of the same samples every time."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor

from data_modules.batch import Batch
from mmpkd.attribution import AttentionRollout, AttributionMethod
from mmpkd.callbacks.localization import student_of
from mmpkd.callbacks.tables import all_gather, is_due, label_names
from mmpkd.plotting import display_scale, overlay


@dataclass(frozen=True)
class MapSample:
    """One image with its ROIs, on the CPU.

    Attributes:
        sample_id: Stable identifier.
        image: Float (C, H, W), normalised.
        roi_mask: Bool (r, H, W).
        roi_label: r findings, indices of the labels.
        target: r labels: 1, 0 or NaN.
        probability: r predicted probabilities.
    """

    sample_id: str
    image: Tensor
    roi_mask: NDArray[np.bool_]
    roi_label: tuple[int, ...]
    target: tuple[float, ...]
    probability: tuple[float, ...]

    @property
    def rank(self) -> str:
        """Place in a fixed order that does not depend on how a split is ordered."""
        return rank(self.sample_id)


def rank(sample_id: str) -> str:
    """Return the key by which images are chosen: a hash of the identifier."""
    return hashlib.sha256(sample_id.encode()).hexdigest()


class AttributionMapLogger(Callback):
    """Draws heatmaps of a fixed set of validation and test images over the image, with the outlines of their ROIs.

    The images are chosen by a hash of their identifiers, finding by finding in turn, so they are the same in every
    epoch, run and arm. Files: `maps/<stage>/<sample_id>.png` in the run folder. W&B: `<stage>/attribution/<name>`, with
    boxes and masks, unless the data are credentialed and the run is online: the data-use agreement forbids sharing
    images with third parties.

    Args:
        attribution: Attribution method; attention rollout if None.
        num_images: Number of images at most.
        every_n_epochs: During a fit, draw every n-th epoch only.
    """

    def __init__(
        self, attribution: AttributionMethod | None = None, num_images: int = 8, every_n_epochs: int = 1
    ) -> None:
        super().__init__()
        if num_images < 1 or every_n_epochs < 1:
            raise ValueError(
                f"Expected num_images >= 1 and every_n_epochs >= 1 but got {num_images} and {every_n_epochs}."
            )
        self.attribution = AttentionRollout() if attribution is None else attribution
        self.num_images, self.every_n_epochs = num_images, every_n_epochs
        self._candidates: dict[int, list[MapSample]] = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a new choice of images."""
        del trainer, pl_module
        self._candidates = {}

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the images of a batch that may be chosen; `outputs` is the step's `{"probability": float32 (B, K)}`."""
        del pl_module, batch_idx, dataloader_idx
        if not is_due(trainer, self.every_n_epochs) or "image" not in batch:
            return
        pairs: dict[int, list[int]] = {}
        for pair, row in enumerate(batch["roi_sample"].tolist()):
            pairs.setdefault(row, []).append(pair)
        findings = batch["roi_label"].tolist()
        for row, owned in pairs.items():
            if self._wanted(batch["sample_id"][row], {findings[pair] for pair in owned}):
                self._consider(_map_sample(batch, outputs["probability"], row, owned))

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the validation images."""
        self._draw(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the test images."""
        self._draw(trainer, pl_module, "test")

    def _wanted(self, sample_id: str, findings: set[int]) -> bool:
        """Return whether a sample can still be chosen, before its image is copied from the device."""
        kept = [self._candidates.get(finding, []) for finding in findings]
        return any(len(samples) < self.num_images or rank(sample_id) < samples[-1].rank for samples in kept)

    def _consider(self, sample: MapSample) -> None:
        for finding in set(sample.roi_label):
            kept = self._candidates.get(finding, [])
            if all(other.sample_id != sample.sample_id for other in kept):
                self._candidates[finding] = sorted([*kept, sample], key=lambda s: s.rank)[: self.num_images]

    def _draw(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not is_due(trainer, self.every_n_epochs):
            return
        for candidates in all_gather(self._candidates):
            for sample in (s for kept in candidates.values() for s in kept):
                self._consider(sample)
        chosen = choose(self._candidates, self.num_images)
        self._candidates = {}
        if not chosen or not trainer.is_global_zero:
            return
        image = torch.stack([sample.image for sample in chosen]).to(pl_module.device)
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            heatmaps = self.attribution(student_of(pl_module), image).cpu().numpy()
        pictures = [picture(sample, heatmap) for sample, heatmap in zip(chosen, heatmaps, strict=True)]
        _write(pictures, chosen, Path(trainer.default_root_dir) / "maps" / stage)
        self._log(trainer, f"{stage}/attribution/{self.attribution.name}", pictures, chosen)

    def _log(self, trainer: Trainer, key: str, pictures: list[NDArray[np.uint8]], samples: list[MapSample]) -> None:
        names = label_names(trainer)
        for logger in trainer.loggers:
            if not isinstance(logger, WandbLogger):
                continue
            if not _may_log_images(trainer, logger):
                rank_zero_info(
                    "No images are logged to W&B: the data are credentialed and the run is online, where third parties "
                    f"store them. They are in the run folder, under maps/ ({key})."
                )
                continue
            annotations = [_annotations(sample, names) for sample in samples]
            logger.log_image(
                key,
                pictures,
                step=trainer.global_step,
                caption=[caption(sample, names) for sample in samples],
                boxes=[boxes for boxes, _ in annotations],
                masks=[masks for _, masks in annotations],
            )


def choose(candidates: Mapping[int, list[MapSample]], num_images: int) -> list[MapSample]:
    """Take images finding by finding in turn, in their fixed order, each image once."""
    chosen: dict[str, MapSample] = {}
    queues = [sorted(candidates[finding], key=lambda s: s.rank) for finding in sorted(candidates)]
    while any(queues) and len(chosen) < num_images:
        for queue in queues:
            while queue and queue[0].sample_id in chosen:
                queue.pop(0)
            if queue and len(chosen) < num_images:
                sample = queue.pop(0)
                chosen[sample.sample_id] = sample
    return list(chosen.values())


def caption(sample: MapSample, names: tuple[str, ...]) -> str:
    """Return finding, predicted probability and label of each ROI; never an identifier or report text."""
    pairs = zip(sample.roi_label, sample.probability, sample.target, strict=True)
    labels = {0.0: "absent", 1.0: "present"}
    return "; ".join(f"{names[k]}: p = {p:.2f}, label {labels.get(y, 'not stated')}" for k, p, y in pairs)


def picture(sample: MapSample, heatmap: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the overlay, uint8 RGB; grey values are stretched to the image's own range, for display only."""
    image = sample.image.float().mean(0)
    low, high = image.aminmax()
    grey = ((image - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)).clamp(0, 1)
    return overlay(grey.numpy(), heatmap, list(sample.roi_mask))


def _map_sample(batch: Batch, probability: Tensor, row: int, pairs: list[int]) -> MapSample:
    findings = batch["roi_label"][pairs]
    return MapSample(
        sample_id=batch["sample_id"][row],
        image=batch["image"][row].detach().cpu(),
        roi_mask=batch["roi_mask"][pairs].cpu().numpy(),
        roi_label=tuple(findings.tolist()),
        target=tuple(batch["label"][row, findings].tolist()),
        probability=tuple(probability[row, findings].tolist()),
    )


def _write(pictures: list[NDArray[np.uint8]], samples: list[MapSample], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for rgb, sample in zip(pictures, samples, strict=True):
        ok, encoded = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
        if not ok:
            raise OSError(f"Expected to encode a map of shape {rgb.shape} as PNG but could not.")
        (folder / f"{file_name(sample.sample_id)}.png").write_bytes(encoded.tobytes())


def file_name(sample_id: str) -> str:
    """Return an identifier as a file name: other characters than letters, digits, `.`, `-`, `_` become `_`."""
    return re.sub(r"[^\w.-]", "_", sample_id)


def _may_log_images(trainer: Trainer, logger: WandbLogger) -> bool:
    license_name = getattr(getattr(trainer, "datamodule", None), "license", "credentialed")
    return license_name in ("open", "synthetic") or bool(logger.experiment.offline)


def _annotations(sample: MapSample, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return W&B boxes, one per connected component of an ROI, and masks, one per finding."""
    scale = display_scale(*sample.roi_mask.shape[1:])
    class_labels = dict(enumerate(names))
    box_data, masks = [], {}
    for mask, finding, p in zip(sample.roi_mask, sample.roi_label, sample.probability, strict=True):
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
        # 0 is the background, so classes of masks count from 1
        data = (mask * np.uint8(finding + 1)).repeat(scale, axis=0).repeat(scale, axis=1)
        masks[f"roi_{finding}"] = {"mask_data": data, "class_labels": {finding + 1: names[finding]}}
    return {"roi": {"box_data": box_data, "class_labels": class_labels}}, masks
