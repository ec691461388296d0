"""Whether the student looks at the regions that a radiologist marked."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from data_modules.atomic import write_text
from data_modules.batch import Batch
from mmpkd.attribution import (
    BASELINE_MAPS,
    AttentionMethod,
    AttentionRecorder,
    AttentionRelevance,
    AttentionRollout,
    AttributionMethod,
    ClassAttribution,
    GradCAM,
    LastLayerAttention,
    MeanRoi,
    pad_to_patches,
    patch_grid,
    prefix_mass,
)
from mmpkd.attribution.recording.weights import HeadFusion
from mmpkd.callbacks.localization.mean_roi import MeanRoiSums
from mmpkd.callbacks.localization.pair_columns import pair_columns
from mmpkd.callbacks.localization.tuning import ThresholdTuning
from mmpkd.callbacks.tables import Rows, is_due, run_folder, save_table
from mmpkd.metrics import HeatmapPairs, RoiMetric, Rois, default_scores, patch_ceiling
from mmpkd.records.roi_table import KEY, PAIR, stratified, summary

TUNED = "iou_val"
_TOP_AREA = 0.1


class LocalizationMonitor(Callback):
    """Scores attributions of the student against regions of interest (ROIs) in validation and test.

    Every (image, finding) pair with an ROI is scored under every attribution. The table goes to `roi_<stage>.parquet` in the
    run folder, one row a pair and attribution, with the best IoU that any patches could reach (`iou_ceiling`), the ROI's area,
    and the strata of the data set; `roi_<stage>_strata.csv` holds means by stratum. Means are logged as
    `<stage>/<attribution>/<score>`, with `num_roi`, `num_undefined` and `num_constant` (heatmaps of one value).

    Attention is recorded in the module's own forward pass; other attributions run their own. Maps that see no student are
    controls: they are the same in every epoch and scored once a fit. The threshold of `iou_val` is tuned by finding in
    validation, kept in the checkpoint of the same weights, and used in test; so is the mean ROI of each finding. Nothing else
    learns from an ROI. All of this runs in every validation: any may turn out to be that of the best checkpoint.

    Args:
        attributions: Attribution methods, with different names. By default attention rollout, last-layer attention, and
            controls: all ones, random, centre Gaussian, image intensity, mean ROI of the validation split.
        test_attributions: Further methods in test only, where their cost counts once; they have no tuned threshold. By
            default the two that are specific to a finding: gradient-weighted relevance and Grad-CAM.
        scores: Scores with different names; one of each kind by default.
        top_area: Share in (0, 1] of the frame that `iou_top_area` selects by default: a typical ROI area, never tuned on test.
            None takes the `roi_area` of the data module, or 0.1 if it has none.

    Attributes:
        tables: The last per-ROI table by stage, for callbacks that come after this one.
    """

    def __init__(
        self,
        attributions: list[AttributionMethod] | None = None,
        test_attributions: list[AttributionMethod] | None = None,
        scores: list[RoiMetric] | None = None,
        top_area: float | None = None,
    ) -> None:
        super().__init__()
        controls = [kind() for kind in BASELINE_MAPS]
        default = [AttentionRollout(), LastLayerAttention(), *controls]
        self.attributions: list[AttributionMethod] = default if attributions is None else attributions
        self.test_attributions: list[AttributionMethod] = (
            [AttentionRelevance(), GradCAM()] if test_attributions is None else test_attributions
        )
        self.scores = default_scores(_TOP_AREA if top_area is None else top_area) if scores is None else scores
        self._asks_data = scores is None and top_area is None
        _check_names("attributions", [method.name for method in (*self.attributions, *self.test_attributions)])
        _check_names("scores", [score.name for score in self.scores])
        if not self.attributions:
            raise ValueError(f"Expected an attribution but got {attributions}.")
        self._tuning, self._mean_roi = ThresholdTuning(), MeanRoiSums()
        self._pairs, self._scored = Rows(), Rows()
        self._controls: pd.DataFrame | None = None
        self.tables: dict[str, pd.DataFrame] = {}
        self._stack = ExitStack()
        self._recorders: dict[HeadFusion, AttentionRecorder] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask the data how large their regions are."""
        del pl_module, stage
        if self._asks_data:
            area = getattr(getattr(trainer, "datamodule", None), "roi_area", _TOP_AREA)
            self.scores = default_scores(area)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the controls of another fit."""
        del trainer, pl_module
        self._controls = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start new tables."""
        del trainer, pl_module
        self._pairs, self._scored = Rows(), Rows()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Record the attention of the coming forward pass, for the samples that have an ROI."""
        del batch_idx, dataloader_idx
        if not self._has_work(trainer, batch):
            return
        rows = torch.unique(batch["roi_sample"])
        fusions = {method.head_fusion for method in self._methods(trainer) if isinstance(method, AttentionMethod)}
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
        stage, student = _stage(trainer), student_of(pl_module)
        batch = _of_whole_patches(student, batch)
        known = pair_columns(trainer, pl_module, batch, outputs["probability"], stage)
        grid = patch_grid(student, (int(batch["image"].shape[-2]), int(batch["image"].shape[-1])))
        rows, place = torch.unique(batch["roi_sample"], return_inverse=True)
        rois, of_pairs = Rois(batch["roi_mask"], place), Rois(batch["roi_mask"])
        self._pairs.add({**known, "area": rois.area, "iou_ceiling": patch_ceiling(rois.mask, grid)})
        if stage == "val":
            self._mean_roi.add(rois.mask, batch["roi_label"], grid, batch["label"].shape[1])
        for method in self._methods(trainer):
            if isinstance(method, ClassAttribution):
                with torch.no_grad(), trainer.precision_plugin.forward_context():
                    heatmap = _of_pairs(method, student, batch)
                pairs = HeatmapPairs(heatmap, of_pairs)
            else:
                with torch.no_grad(), trainer.precision_plugin.forward_context():
                    heatmap = self._heatmap(method, student, batch["image"][rows])
                pairs = HeatmapPairs(heatmap, rois)
            self._scored.add({name: known[name] for name in PAIR} | self._score(method, pairs, known, stage))
        self._recorders = {}

    on_test_batch_end = on_validation_batch_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop recording when a step fails."""
        del trainer, pl_module, exception
        self._stack.close()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means, write the validation table, and keep thresholds and mean ROIs."""
        if is_due(trainer):
            self._tuning.finish()
            self._mean_roi.finish(self.attributions)
            self._finish(trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means and write the test table."""
        self._finish(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return what was learned from the ROIs of the validation split."""
        means = {method.name: method.state_dict() for method in self.attributions if isinstance(method, MeanRoi)}
        return {"thresholds": self._tuning.thresholds, "mean_roi": means}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self._tuning.thresholds = state_dict["thresholds"]
        for method in self.attributions:
            if isinstance(method, MeanRoi) and method.name in state_dict["mean_roi"]:
                method.load_state_dict(state_dict["mean_roi"][method.name])

    def _methods(self, trainer: Trainer) -> list[AttributionMethod]:
        """Return the methods that are due: controls once a fit, and what validation must teach only afterwards."""
        if _stage(trainer) == "test":
            methods = [*self.attributions, *self.test_attributions]
            return [method for method in methods if not isinstance(method, MeanRoi) or method.is_learned]
        are_scored = self._controls is not None and trainer.state.fn == TrainerFn.FITTING
        methods = [method for method in self.attributions if not isinstance(method, MeanRoi)]
        return [method for method in methods if method.sees_student or not are_scored]

    def _has_work(self, trainer: Trainer, batch: Batch) -> bool:
        return is_due(trainer) and "image" in batch and len(batch["roi_sample"]) > 0

    def _heatmap(self, method: AttributionMethod, student: nn.Module, image: Tensor) -> Tensor:
        if not isinstance(method, AttentionMethod):
            return method(student, image)
        size = (int(image.shape[-2]), int(image.shape[-1]))
        return method.heatmap(self._recorders[method.head_fusion].result(size))

    def _score(
        self, method: AttributionMethod, pairs: HeatmapPairs, known: dict[str, Tensor | Sequence[str]], stage: str
    ) -> dict[str, Tensor | Sequence[str]]:
        lost = torch.full_like(pairs.rois.area, torch.nan)
        if isinstance(method, AttentionMethod):
            lost = pairs.own(prefix_mass(pairs.heatmap))
        findings = [str(name) for name in known["finding"]]
        columns = {score.name: score.score(pairs) for score in self.scores}
        if stage == "val":
            self._tuning.add(method.name, findings, pairs)
        else:
            columns[TUNED] = self._tuning.score(method.name, findings, pairs)
        return {
            "attribution": [method.name] * len(findings),
            **columns,
            "prefix_mass": lost,
            "constant": pairs.own(pairs.constant),
            "undefined": pairs.undefined,
        }

    def _finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stage = _stage(trainer)
        known, scored = self._pairs.gather(PAIR), self._scored.gather(KEY)
        if known.empty:
            return  # the split has no ROI: no table, rather than an empty one
        if trainer.state.fn == TrainerFn.FITTING:
            scored = self._with_controls(scored)
        frame = known.merge(scored, on=list(PAIR)).sort_values(list(KEY), kind="stable", ignore_index=True)
        self.tables[stage] = frame
        pl_module.log_dict(summary(frame, stage), sync_dist=True)
        folder = run_folder(trainer)
        save_table(trainer, frame, folder.rois(stage))
        if trainer.is_global_zero:
            strata = stratified(frame)
            write_text(folder.strata(stage), strata.to_csv(index=False))
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger) and stage == "test":
                    logger.log_table("test/localization_by_stratum", dataframe=strata)

    def _with_controls(self, scored: pd.DataFrame) -> pd.DataFrame:
        """Return the scores of an epoch with those of the controls, which are computed in the first one."""
        if self._controls is not None:
            return pd.concat([scored, self._controls], ignore_index=True)
        seen = {method.name for method in self.attributions if method.sees_student}
        self._controls = scored[~scored["attribution"].isin(seen)]
        return scored


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


def _of_whole_patches(student: nn.Module, batch: Batch) -> Batch:
    """Return a batch whose images and masks are padded as the student pads them."""
    padded = batch.copy()
    for key in ("image", "roi_mask"):
        padded[key] = pad_to_patches(student, batch[key])
    return padded


def _of_pairs(method: ClassAttribution, student: nn.Module, batch: Batch) -> Tensor:
    """Return the heatmap of each (image, finding) pair, in parts of a batch's size: gradients need memory."""
    size = len(batch["image"])
    parts = zip(torch.split(batch["roi_sample"], size), torch.split(batch["roi_label"], size), strict=True)
    return torch.cat([method.of_label(student, batch["image"][rows], labels) for rows, labels in parts])


def _stage(trainer: Trainer) -> str:
    return "test" if trainer.state.fn == TrainerFn.TESTING else "val"


def _check_names(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"Expected {what} with different names but got {names}.")
