"""Scores of attributions against the regions that a radiologist marked."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from data_modules.batch import Batch
from data_modules.files.atomic import write_text
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
    patch_grid,
    prefix_mass,
)
from mmpkd.attribution.recording.weights import HeadFusion
from mmpkd.callbacks.localization.heatmaps import heatmaps_of_pairs, student_of, with_whole_patches
from mmpkd.callbacks.localization.mean_roi import MeanRoiSums
from mmpkd.callbacks.localization.pair_columns import pair_columns
from mmpkd.callbacks.localization.tuning import ThresholdTuning
from mmpkd.callbacks.tables import Rows, is_due, run_folder, save_table
from mmpkd.metrics import HeatmapPairs, RoiMetric, Rois, default_scores, patch_ceiling
from mmpkd.records.roi_table import KEY, PAIR, stratified, summary

# column of the IoU at the tuned thresholds
TUNED = "iou_val"
_TOP_AREA = 0.1


class LocalizationMonitor(Callback):
    """Scores attributions of the student against regions of interest (ROIs) in validation and test.

    Every (image, finding) pair with an ROI is scored with every attribution. The table `roi_<stage>.parquet` in the run folder
    has one row per pair and attribution, with the best IoU that any patches can reach (`iou_ceiling`), the ROI's area, and the
    strata of the data set. `roi_<stage>_strata.csv` has means by stratum. Means are logged as `<stage>/<attribution>/<score>`,
    with `num_roi`, `num_undefined` and `num_constant` (heatmaps of one value).

    Attention is recorded in the module's own forward pass; other attributions run their own. Baseline maps are the same in
    every epoch and are scored once per fit. Nothing learns from an ROI but the thresholds of `iou_val` and the mean ROIs: both
    are learned by finding in validation, saved in the checkpoint of the same weights, and used in test. This happens in every
    validation, since each one may turn out to be that of the best checkpoint.

    Args:
        attributions: Attribution methods with different names. By default attention rollout, last-layer attention, and the
            baseline maps: all ones, random, centre Gaussian, image intensity, mean ROI of the validation split.
        test_attributions: Further methods in test only, where their cost counts once; they have no tuned threshold. By default
            the two that are specific to a finding: gradient-weighted relevance and Grad-CAM.
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
        default = [AttentionRollout(), LastLayerAttention(), *(kind() for kind in BASELINE_MAPS)]
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
        self._tuning = ThresholdTuning()
        self._mean_roi = MeanRoiSums()
        self._pairs = Rows()
        self._scored = Rows()
        self._baseline_scores: pd.DataFrame | None = None
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
        """Forget the scores of baseline maps from an earlier fit."""
        del trainer, pl_module
        self._baseline_scores = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start new tables."""
        del trainer, pl_module
        self._pairs = Rows()
        self._scored = Rows()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start recording the attention of the next forward pass, for the samples that have an ROI."""
        del batch_idx, dataloader_idx
        if not self._has_work(trainer, batch):
            return
        # few images have an ROI, and recording costs time
        rows = torch.unique(batch["roi_sample"])
        fusions = {method.head_fusion for method in self._methods(trainer) if isinstance(method, AttentionMethod)}
        self._recorders = {fusion: AttentionRecorder(student_of(pl_module), fusion, rows) for fusion in sorted(fusions)}
        # if one recorder fails to start, those before it stop
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
        """Score a batch; `outputs` is the step's `{"probability": float32 (B, K)}`."""
        del batch_idx, dataloader_idx
        # before other attributions run passes of their own
        self._stack.close()
        if not self._has_work(trainer, batch):
            return
        stage = _stage(trainer)
        student = student_of(pl_module)
        batch = with_whole_patches(student, batch)
        known = pair_columns(trainer, pl_module, batch, outputs["probability"], stage)
        grid = patch_grid(student, (int(batch["image"].shape[-2]), int(batch["image"].shape[-1])))
        # a map for all findings is made once per image with an ROI, and one that is specific to a finding once per pair
        rows, place = torch.unique(batch["roi_sample"], return_inverse=True)
        rois = Rois(batch["roi_mask"], place)
        rois_of_pairs = Rois(batch["roi_mask"])
        self._pairs.add({**known, "area": rois.area, "iou_ceiling": patch_ceiling(rois.mask, grid)})
        if stage == "val":
            self._mean_roi.add(rois.mask, batch["roi_label"], grid, batch["label"].shape[1])
        for method in self._methods(trainer):
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                if isinstance(method, ClassAttribution):
                    pairs = HeatmapPairs(heatmaps_of_pairs(method, student, batch), rois_of_pairs)
                else:
                    pairs = HeatmapPairs(self._heatmap(method, student, batch["image"][rows]), rois)
            self._scored.add({name: known[name] for name in PAIR} | self._score(method, pairs, known, stage))
        self._recorders = {}

    on_test_batch_end = on_validation_batch_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop recording if a step fails."""
        del trainer, pl_module, exception
        self._stack.close()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means, write the validation table, and learn thresholds and mean ROIs."""
        if is_due(trainer):
            self._tuning.finish()
            self._mean_roi.finish(self.attributions)
            self._finish(trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means and write the test table."""
        self._finish(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the thresholds and mean ROIs that were learned in validation."""
        means = {method.name: method.state_dict() for method in self.attributions if isinstance(method, MeanRoi)}
        return {"thresholds": self._tuning.thresholds, "mean_roi": means}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the thresholds and mean ROIs that `state_dict` returned."""
        self._tuning.thresholds = state_dict["thresholds"]
        for method in self.attributions:
            if isinstance(method, MeanRoi) and method.name in state_dict["mean_roi"]:
                method.load_state_dict(state_dict["mean_roi"][method.name])

    def _methods(self, trainer: Trainer) -> list[AttributionMethod]:
        """Return the methods to score now: baseline maps once per fit, and mean ROIs once they are learned."""
        if _stage(trainer) == "test":
            methods = [*self.attributions, *self.test_attributions]
            return [method for method in methods if not isinstance(method, MeanRoi) or method.is_learned]
        are_scored = self._baseline_scores is not None and trainer.state.fn == TrainerFn.FITTING
        # mean ROIs are not scored in validation, on the ROIs that they are learned from
        methods = [method for method in self.attributions if not isinstance(method, MeanRoi)]
        return [method for method in methods if not method.is_baseline or not are_scored]

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
            lost = pairs.per_roi(prefix_mass(pairs.heatmap))
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
            "constant": pairs.per_roi(pairs.constant),
            "undefined": pairs.undefined,
        }

    def _finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stage = _stage(trainer)
        known = self._pairs.gather(PAIR)
        scored = self._scored.gather(KEY)
        if known.empty:
            return  # without any ROI in the split, there is no table
        if trainer.state.fn == TrainerFn.FITTING:
            scored = self._with_baselines(scored)
        frame = known.merge(scored, on=list(PAIR)).sort_values(list(KEY), kind="stable", ignore_index=True)
        self.tables[stage] = frame
        # every process has the whole table and logs the same values
        pl_module.log_dict(summary(frame, stage), sync_dist=True)
        folder = run_folder(trainer)
        save_table(trainer, frame, folder.rois(stage))
        if trainer.is_global_zero:
            strata = stratified(frame)
            write_text(folder.strata(stage), strata.to_csv(index=False))
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger) and stage == "test":
                    logger.log_table("test/localization_by_stratum", dataframe=strata)

    def _with_baselines(self, scored: pd.DataFrame) -> pd.DataFrame:
        """Return the scores of an epoch with those of the baseline maps, which are computed in the first epoch."""
        if self._baseline_scores is not None:
            return pd.concat([scored, self._baseline_scores], ignore_index=True)
        baselines = {method.name for method in self.attributions if method.is_baseline}
        self._baseline_scores = scored[scored["attribution"].isin(baselines)]
        return scored


def _stage(trainer: Trainer) -> str:
    return "test" if trainer.state.fn == TrainerFn.TESTING else "val"


def _check_names(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"Expected {what} with different names but got {names}.")
