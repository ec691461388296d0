"""Whether the student looks at the regions that a radiologist marked."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from data_modules.batch import Batch
from mmpkd.attribution import (
    AllOnes,
    AttentionMethod,
    AttentionRecorder,
    AttentionRollout,
    AttributionMethod,
    CenterGaussian,
    LastLayerAttention,
    RandomMap,
    is_constant,
    min_max,
    prefix_mass,
    upsample,
)
from mmpkd.attribution.weights import HeadFusion
from mmpkd.callbacks.tables import Rows, is_due, label_names, write_parquet
from mmpkd.metrics import area_fraction, iou, pointing_game, relevance_mass

SCORES = ("pointing_game", "iou_top_area", "iou_otsu", "relevance_mass")
_KEY = ("sample_id", "finding", "attribution")


def score_heatmaps(heatmap: Tensor, mask: Tensor, top_area: float, tolerance: float) -> dict[str, Tensor]:
    """Score one heatmap per ROI pair.

    Args:
        heatmap: Float (R, h, w) on the patch grid, values >= 0.
        mask: Bool (R, H, W).
        top_area: Share of the frame that `iou_top_area` selects.
        tolerance: Distance in pixels, inclusive, at which the pointing game still hits.

    Returns:
        Float32 (R,) by name of the score, NaN where undefined.
    """
    pixels = upsample(heatmap, (int(mask.shape[1]), int(mask.shape[2])))
    scaled = min_max(pixels)
    return {
        "pointing_game": pointing_game(heatmap, mask, tolerance),
        "iou_top_area": iou(scaled, mask, "top_area", top_area),
        "iou_otsu": iou(scaled, mask, "otsu"),
        "relevance_mass": relevance_mass(pixels, mask),
    }


class LocalizationMonitor(Callback):
    """Scores attributions of the student against regions of interest (ROIs) in validation and test.

    Every (image, finding) pair with an ROI is scored under every attribution. The table goes to `roi_<stage>.parquet`
    in the run folder, one row a pair and attribution; the means are logged as `<stage>/<attribution>/<score>`, with
    `num_roi`, `num_undefined` (pairs of which a score is undefined) and `num_constant` (heatmaps of one value).
    Attention is recorded in the module's own forward pass; other attributions run their own.

    Args:
        attributions: Attribution methods, with different names. By default attention rollout, last-layer attention, and
            the controls that give the chance level: all ones, random, centre Gaussian.
        top_area: Share in (0, 1] of the frame that `iou_top_area` selects; a typical ROI area, never tuned on test.
        tolerance: Distance in pixels, inclusive, at which the pointing game still hits.
        every_n_epochs: During a fit, score every n-th epoch only.
    """

    def __init__(
        self,
        attributions: list[AttributionMethod] | None = None,
        top_area: float = 0.1,
        tolerance: float = 0.0,
        every_n_epochs: int = 1,
    ) -> None:
        super().__init__()
        default = [AttentionRollout(), LastLayerAttention(), AllOnes(), RandomMap(), CenterGaussian()]
        self.attributions: list[AttributionMethod] = default if attributions is None else attributions
        names = [method.name for method in self.attributions]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Expected attributions with different names but got {names}.")
        if not 0 < top_area <= 1 or tolerance < 0 or every_n_epochs < 1:
            raise ValueError(
                "Expected top_area in (0, 1], tolerance >= 0 and every_n_epochs >= 1 but got "
                f"{top_area}, {tolerance} and {every_n_epochs}."
            )
        self.top_area, self.tolerance, self.every_n_epochs = top_area, tolerance, every_n_epochs
        self._rows = Rows()
        self._stack = ExitStack()
        self._recorders: dict[HeadFusion, AttentionRecorder] = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a new table."""
        del trainer, pl_module
        self._rows = Rows()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Record the attention of the coming forward pass, for the samples that have an ROI."""
        del batch_idx, dataloader_idx
        if not self._has_work(trainer, batch):
            return
        rows = torch.unique(batch["roi_sample"])
        fusions = {method.head_fusion for method in self.attributions if isinstance(method, AttentionMethod)}
        self._recorders = {fusion: AttentionRecorder(student_of(pl_module), fusion, rows) for fusion in sorted(fusions)}
        with ExitStack() as stack:
            for recorder in self._recorders.values():
                stack.enter_context(recorder)
            self._stack = stack.pop_all()

    on_test_batch_start = on_validation_batch_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score one batch; `outputs` is the step's `{"probability": float32 (B, K)}`."""
        del batch_idx, dataloader_idx
        self._stack.close()
        if not self._has_work(trainer, batch):
            return
        rows, place = torch.unique(batch["roi_sample"], return_inverse=True)
        image = batch["image"][rows]
        known = self._known_columns(label_names(trainer), batch, outputs["probability"])
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            for method in self.attributions:
                heatmap = self._heatmap(method, student_of(pl_module), image)
                self._rows.add({**known, **self._score_columns(method, heatmap[place], batch["roi_mask"])})
        self._recorders = {}

    on_test_batch_end = on_validation_batch_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop recording when a step fails."""
        del trainer, pl_module, exception
        self._stack.close()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means and write the validation table."""
        self._finish(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means and write the test table."""
        self._finish(trainer, pl_module, "test")

    def _has_work(self, trainer: Trainer, batch: Batch) -> bool:
        return is_due(trainer, self.every_n_epochs) and "image" in batch and len(batch["roi_sample"]) > 0

    def _heatmap(self, method: AttributionMethod, student: nn.Module, image: Tensor) -> Tensor:
        if not isinstance(method, AttentionMethod):
            return method(student, image)
        size = (int(image.shape[-2]), int(image.shape[-1]))
        return method.heatmap(self._recorders[method.head_fusion].result(size))

    def _known_columns(
        self, names: Sequence[str], batch: Batch, probability: Tensor
    ) -> dict[str, Tensor | Sequence[str]]:
        samples, findings = batch["roi_sample"].tolist(), batch["roi_label"].tolist()
        return {
            "sample_id": [batch["sample_id"][row] for row in samples],
            "patient_id": [batch["patient_id"][row] for row in samples],
            "finding": [names[finding] for finding in findings],
            "area": area_fraction(batch["roi_mask"]),
            "target": batch["label"][batch["roi_sample"], batch["roi_label"]],
            "probability": probability[batch["roi_sample"], batch["roi_label"]],
        }

    def _score_columns(
        self, method: AttributionMethod, heatmap: Tensor, mask: Tensor
    ) -> dict[str, Tensor | Sequence[str]]:
        lost = (
            prefix_mass(heatmap)
            if isinstance(method, AttentionMethod)
            else torch.full_like(heatmap[:, 0, 0], torch.nan)
        )
        return {
            "attribution": [method.name] * len(mask),
            **score_heatmaps(heatmap, mask, self.top_area, self.tolerance),
            "prefix_mass": lost,
            "constant": is_constant(heatmap),
        }

    def _finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not is_due(trainer, self.every_n_epochs):
            return
        frame = self._rows.gather(_KEY)
        if frame.empty:
            return  # the split has no ROI: no table, rather than an empty one
        pl_module.log_dict(_summary(frame, stage))
        if trainer.is_global_zero:
            write_parquet(frame, Path(trainer.default_root_dir) / f"roi_{stage}.parquet")


def student_of(pl_module: LightningModule) -> nn.Module:
    """Return the student of a Lightning module.

    Raises:
        TypeError: If it has none.
    """
    student = getattr(pl_module, "student", None)
    if not isinstance(student, nn.Module):
        raise TypeError(
            f"Expected {type(pl_module).__name__} to have a `student` to look at. A teacher has none: remove the "
            "localization and attribution callbacks from its configuration."
        )
    return student


def _summary(frame: pd.DataFrame, stage: str) -> dict[str, float]:
    """Return the logged values; a score that is undefined for every pair is left out."""
    values: dict[str, float] = {}
    for name, rows in frame.groupby("attribution"):
        prefix = f"{stage}/{name}"
        means = rows[[*SCORES, "prefix_mass"]].mean().dropna()
        values.update({f"{prefix}/{score}": float(mean) for score, mean in means.items()})
        values[f"{prefix}/num_roi"] = float(len(rows))
        values[f"{prefix}/num_undefined"] = float(rows[list(SCORES)].isna().any(axis=1).sum())
        values[f"{prefix}/num_constant"] = float(rows["constant"].sum())
    return values
