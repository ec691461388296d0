"""Scores of faithfulness: whether attributions show what the student uses."""

from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.batch import Batch
from mmpkd.attribution import (
    AttentionRelevance,
    AttentionRollout,
    AttributionMethod,
    ClassAttribution,
    GradCAM,
    LastLayerAttention,
    RandomMap,
    pad_to_patches,
    patch_grid,
)
from mmpkd.attribution.layout import backbone
from mmpkd.attribution.padding import padded_size
from mmpkd.callbacks.localization.heatmaps import check_methods, student_of
from mmpkd.callbacks.localization.map_samples import check_names_images, rank
from mmpkd.callbacks.tables import Rows, label_names, run_folder, save_table
from mmpkd.metrics.faithfulness import area_under_curve, perturbation_curves
from mmpkd.numerics.processes import from_first
from mmpkd.records.roi_table import KEY


class FaithfulnessMonitor(Callback):
    """Computes deletion and insertion curves of test images with an ROI, for the finding of the ROI.

    The mean areas under the curves are logged as `test/<attribution>/deletion` (lower is better) and `.../insertion` (higher is
    better). The table `faithfulness_test.parquet` has the same key columns as the table of ROIs. Compare the values with those of
    the `random` map: if a prediction hardly depends on any patch, all curves are flat.

    Args:
        attributions: Attribution methods, with different names. By default rollout, last-layer attention, gradient-weighted
            relevance, Grad-CAM, and a random map.
        num_steps: Number of steps of a curve, at most the number of patches; each step costs two forward passes.
        max_images: Maximum number of images, chosen by a hash of their identifiers.
    """

    def __init__(
        self, attributions: list[AttributionMethod] | None = None, num_steps: int = 10, max_images: int = 64
    ) -> None:
        super().__init__()
        default = [AttentionRollout(), LastLayerAttention(), AttentionRelevance(), GradCAM(), RandomMap()]
        self.attributions: list[AttributionMethod] = default if attributions is None else attributions
        names = [method.name for method in self.attributions]
        if not names or len(set(names)) != len(names) or num_steps < 1 or max_images < 1:
            raise ValueError(
                "Expected attributions with different names, num_steps >= 1 and max_images >= 1 but got "
                f"{names}, {num_steps} and {max_images}."
            )
        self.num_steps = num_steps
        self.max_images = max_images
        self._rows = Rows()
        self._chosen: set[str] = set()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the student can be drawn and that there is a patch to change in each step, before any long work.

        Raises:
            TypeError: If the data module does not know its images by name.
            ValueError: If there are more steps than patches.
        """
        del stage
        check_methods(self.attributions, pl_module)
        check_names_images(trainer, self)
        side: int | None = getattr(trainer.datamodule, "image_size", None)  # type: ignore[attr-defined]
        student = getattr(pl_module, "student", None)
        # a user's data module may not say how large its images are
        if side is None or student is None or not hasattr(backbone(student), "patch_embed"):
            return
        rows, columns = patch_grid(student, padded_size(student, (side, side)))
        if self.num_steps > rows * columns:
            raise ValueError(
                f"Expected 1 to {rows * columns} num_steps of FaithfulnessMonitor, the number of patches of an image of {side} x "
                f"{side} pixels, but got {self.num_steps}. Give fewer steps, larger images (data.image_size), or a model with "
                "smaller patches."
            )

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the images."""
        del pl_module
        split = trainer.datamodule.splits["test"]  # type: ignore[attr-defined]
        with_roi = [str(split.sample_id[row]) for row in split.rois]
        self._chosen = set(sorted(with_roi, key=rank)[: self.max_images])
        self._rows = Rows()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score the chosen images of a batch."""
        del outputs, batch_idx, dataloader_idx
        chosen = self._chosen_pairs(batch)
        if not chosen:
            return
        pairs = torch.tensor(chosen, device=batch["roi_sample"].device)
        samples = batch["roi_sample"][pairs]
        labels = batch["roi_label"][pairs]
        names = label_names(trainer)
        student = student_of(pl_module)
        image = pad_to_patches(student, batch["image"][samples])
        for method in self.attributions:
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                heatmap = (
                    method.of_label(student, image, labels)
                    if isinstance(method, ClassAttribution)
                    else method(student, image)
                )
                curves = perturbation_curves(student, image, heatmap, labels, self.num_steps)
            self._rows.add(
                {
                    "sample_id": [batch["sample_id"][row] for row in samples.tolist()],
                    "patient_id": [batch["patient_id"][row] for row in samples.tolist()],
                    "finding": [names[label] for label in labels.tolist()],
                    "attribution": [method.name] * len(chosen),
                    "deletion": area_under_curve(curves.deletion),
                    "insertion": area_under_curve(curves.insertion),
                }
            )

    def _chosen_pairs(self, batch: Batch) -> list[int]:
        """Return the indices of the pairs to score: those of the chosen images whose ROI is not empty."""
        if "image" not in batch:
            return []
        is_present = batch["roi_mask"].flatten(1).any(1).tolist()
        samples = batch["roi_sample"].tolist()
        return [
            pair for pair, row in enumerate(samples) if is_present[pair] and batch["sample_id"][row] in self._chosen
        ]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means and write the table."""
        frame = self._rows.gather(KEY)
        means = from_first(lambda: {} if frame is None or frame.empty else _means(frame))
        if not means:
            return
        pl_module.log_dict(means, sync_dist=True)
        if frame is not None:
            save_table(trainer, frame, run_folder(trainer).faithfulness)


def _means(frame: pd.DataFrame) -> dict[str, float]:
    means = frame.groupby("attribution")[["deletion", "insertion"]].mean()
    return {f"test/{name}/{score}": float(row[score]) for name, row in means.iterrows() for score in means.columns}
