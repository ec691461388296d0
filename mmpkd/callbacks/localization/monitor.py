"""Scores of attributions against the regions that radiologists marked."""

from contextlib import ExitStack
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

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
    LearnedMap,
    patch_grid,
)
from mmpkd.attribution.recording.weights import HeadFusion
from mmpkd.callbacks.localization.heatmaps import check_methods, heatmaps_of_pairs, student_of, with_whole_patches
from mmpkd.callbacks.localization.mean_roi import MeanRoiSums
from mmpkd.callbacks.localization.pair_columns import Columns, pair_columns
from mmpkd.callbacks.localization.score_table import ScoreTable
from mmpkd.callbacks.localization.scored_maps import ScoredMaps
from mmpkd.callbacks.localization.scoring import Part, score_parts
from mmpkd.callbacks.localization.table_output import write_and_log
from mmpkd.callbacks.localization.unions import Unions, union_columns, unions_of
from mmpkd.callbacks.tables import is_due
from mmpkd.metrics import HeatmapPairs, IoU, RoiMetric, Rois, default_scores, patch_ceiling
from mmpkd.records.roi_table import LAST_COMMIT_WITHOUT_UNIONS

_TOP_AREA = 0.1


class LocalizationMonitor(Callback):
    """Scores attributions of the student against regions of interest (ROIs) in validation and test.

    Every (image, finding) pair with an ROI is scored for every attribution. The table `roi_<stage>.parquet` in the run folder
    has one row per pair and attribution, with the best IoU that any set of patches can reach (`iou_ceiling`), the area of the
    ROI, and the strata of the data set. `roi_<stage>_strata.csv` has means by stratum. Means are logged as
    `<stage>/<attribution>/<score>`, with `num_roi`, `num_undefined` and `num_constant` (heatmaps with a single value).

    Attributions that are the same for all findings of an image are also scored against the union of its ROIs. The table
    `roi_union_<stage>.parquet` has one row per image and attribution and the same columns; means are logged as
    `<stage>/<attribution>/union/<score>`. Both tables are computed from the same heatmaps. In a test, `maps_test.npz` keeps them
    for the explorer of the report.

    Attention is recorded in the module's own forward pass; other attributions run passes of their own. Baseline maps are the
    same in every epoch, so they are scored only once per fit. Only two things are learned from ROIs: the thresholds of
    `iou_val` (by finding, and for unions) and the mean ROIs (by finding, and of all findings). They are learned in validation,
    saved in the checkpoint with the weights of that validation, and used in test. Every validation learns them, since each one
    may turn out to be that of the best checkpoint.

    Args:
        attributions: Attribution methods with different names. By default attention rollout, last-layer attention, and the
            baseline maps: all ones, random, center Gaussian, image intensity, and mean ROIs of the validation split, by finding
            and of all findings.
        test_attributions: Further methods for the test only, where their cost is paid once. They have no tuned threshold. By
            default the two that are specific to a finding: gradient-weighted relevance and Grad-CAM.
        scores: Scores with different names; one of each kind by default.
        top_area: Share in (0, 1] of the frame that `iou_top_area` selects by default: a typical ROI area, never tuned on test.
            None takes the `roi_area` of the data module, or 0.1 if it has none.
        union_top_area: The same for unions of ROIs. None takes the `roi_union_area` of the data module, or the share for ROIs if
            it has none. If `scores` are given, None leaves them unchanged.
        keep_maps: Whether a test writes its maps, which take 4 bytes per patch, attribution and pair before compression.

    Attributes:
        tables: Latest table of ROIs by stage, in the first process, for callbacks that come after this one.
        union_tables: Latest table of unions by stage, likewise.
    """

    def __init__(
        self,
        attributions: list[AttributionMethod] | None = None,
        test_attributions: list[AttributionMethod] | None = None,
        scores: list[RoiMetric] | None = None,
        top_area: float | None = None,
        union_top_area: float | None = None,
        keep_maps: bool = True,
    ) -> None:
        super().__init__()
        default = [AttentionRollout(), LastLayerAttention(), *(kind() for kind in BASELINE_MAPS)]
        self.attributions: list[AttributionMethod] = default if attributions is None else attributions
        specific: list[AttributionMethod] = [AttentionRelevance(), GradCAM()]
        self.test_attributions = specific if test_attributions is None else test_attributions
        self.scores = default_scores(_TOP_AREA if top_area is None else top_area) if scores is None else scores
        self.union_scores = _with_top_area(self.scores, union_top_area)
        self._asks_data = scores is None and top_area is None
        self._asks_data_of_unions = scores is None and union_top_area is None
        self._union_top_area = union_top_area
        _check_names("attributions", [method.name for method in (*self.attributions, *self.test_attributions)])
        _check_names("scores", [score.name for score in self.scores])
        if not self.attributions:
            raise ValueError(f"Expected at least one attribution but got {attributions}.")
        self._regions = ScoreTable()
        self._unions = ScoreTable()
        self._mean_roi = MeanRoiSums()
        self.keep_maps = keep_maps
        self._maps = ScoredMaps()
        self.tables: dict[str, pd.DataFrame] = {}
        self.union_tables: dict[str, pd.DataFrame] = {}
        self._stack = ExitStack()
        self._recorders: dict[HeadFusion, AttentionRecorder] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the student can be drawn, and take the areas that the scores select from the data module."""
        del stage
        check_methods((*self.attributions, *self.test_attributions), pl_module)
        data = getattr(trainer, "datamodule", None)
        if self._asks_data:
            self.scores = default_scores(getattr(data, "roi_area", _TOP_AREA))
        area = getattr(data, "roi_union_area", None) if self._asks_data_of_unions else self._union_top_area
        self.union_scores = _with_top_area(self.scores, area)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the scores of baseline maps from an earlier fit."""
        del trainer, pl_module
        self._regions.forget_baselines()
        self._unions.forget_baselines()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start new tables."""
        del trainer, pl_module
        self._regions.start()
        self._unions.start()
        self._maps = ScoredMaps()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start recording the attention of the next forward pass, for samples with an ROI."""
        del batch_idx, dataloader_idx
        if not self._has_work(trainer, batch):
            return
        # recording costs time, and only few images have an ROI
        rows = torch.unique(batch["roi_sample"])
        fusions = {method.head_fusion for method in self._methods(trainer) if isinstance(method, AttentionMethod)}
        self._recorders = {fusion: AttentionRecorder(student_of(pl_module), fusion, rows) for fusion in sorted(fusions)}
        # if one recorder fails to start, stop the earlier ones
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
        # stop recording before other attributions run passes of their own
        self._stack.close()
        if not self._has_work(trainer, batch):
            return
        stage = _stage(trainer)
        student = student_of(pl_module)
        batch = with_whole_patches(student, batch)
        known = pair_columns(trainer, pl_module, batch, outputs["probability"], stage)
        grid = patch_grid(student, (int(batch["image"].shape[-2]), int(batch["image"].shape[-1])))
        # compute a map for all findings once per image with an ROI, and one that is specific to a finding once per pair
        rows, place = torch.unique(batch["roi_sample"], return_inverse=True)
        unions = unions_of(batch["roi_mask"], place)
        rois = Rois(unions.mask, unions.image)
        rois_of_pairs = Rois(batch["roi_mask"])
        parts = self._parts(known, unions, rois, grid)
        if stage == "val":
            self._mean_roi.add(rois_of_pairs.mask, batch["roi_label"], grid, batch["label"].shape[1])
        for method in self._methods(trainer):
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                if isinstance(method, ClassAttribution):
                    pairs = HeatmapPairs(heatmaps_of_pairs(method, student, batch), rois_of_pairs)
                else:
                    pairs = HeatmapPairs(self._heatmap(method, student, batch["image"][rows]), rois)
            score_parts(method, pairs, parts[:1] if method.is_of_finding else parts, stage)
            if stage == "test" and self.keep_maps:
                self._maps.add(method.name, pairs, known)
        self._recorders = {}

    on_test_batch_end = on_validation_batch_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop recording if a step fails."""
        del trainer, pl_module, exception
        self._stack.close()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means, write the validation table, and learn thresholds and mean ROIs."""
        if is_due(trainer):
            self._regions.tuning.finish()
            self._unions.tuning.finish()
            self._mean_roi.finish(self.attributions)
            self._finish(trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means and write the test table."""
        self._finish(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the thresholds and mean ROIs that were learned in validation."""
        means = {method.name: method.state_dict() for method in self.attributions if isinstance(method, LearnedMap)}
        return {
            "thresholds": self._regions.tuning.thresholds,
            "union_thresholds": self._unions.tuning.thresholds,
            "mean_roi": means,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the thresholds and mean ROIs that `state_dict` returned.

        Raises:
            ValueError: If the checkpoint was saved by an older version, which learned no thresholds for unions.
        """
        if "union_thresholds" not in state_dict:
            raise ValueError(
                "Expected a checkpoint with thresholds for unions of regions but it was saved by an older version, which had "
                f"none. Train again in another folder (--run.dir), or use it with commit {LAST_COMMIT_WITHOUT_UNIONS}."
            )
        self._regions.tuning.thresholds = state_dict["thresholds"]
        self._unions.tuning.thresholds = state_dict["union_thresholds"]
        for method in self.attributions:
            if isinstance(method, LearnedMap) and method.name in state_dict["mean_roi"]:
                method.load_state_dict(state_dict["mean_roi"][method.name])

    def _methods(self, trainer: Trainer) -> list[AttributionMethod]:
        """Return the methods to score now: baseline maps only once per fit, and mean ROIs only after they were learned."""
        if _stage(trainer) == "test":
            methods = [*self.attributions, *self.test_attributions]
            return [method for method in methods if not isinstance(method, LearnedMap) or method.is_learned]
        are_scored = self._regions.has_baselines and trainer.state.fn == TrainerFn.FITTING
        # mean ROIs are not scored in validation: these are the ROIs that they are learned from
        methods = [method for method in self.attributions if not isinstance(method, LearnedMap)]
        return [method for method in methods if not method.is_baseline or not are_scored]

    def _has_work(self, trainer: Trainer, batch: Batch) -> bool:
        return is_due(trainer) and "image" in batch and len(batch["roi_sample"]) > 0

    def _heatmap(self, method: AttributionMethod, student: nn.Module, image: Tensor) -> Tensor:
        if not isinstance(method, AttentionMethod):
            return method(student, image)
        size = (int(image.shape[-2]), int(image.shape[-1]))
        return method.heatmap(self._recorders[method.head_fusion].result(size))

    def _parts(self, known: Columns, unions: Unions, rois: Rois, grid: tuple[int, int]) -> list[Part]:
        """Start the rows of a batch in both tables, and return the parts of its ROIs: regions, then unions if there are any."""
        regions = torch.arange(len(known["finding"]), device=rois.mask.device)
        parts = [Part(self._regions, self.scores, known, regions)]
        if len(unions):
            parts.append(Part(self._unions, self.union_scores, union_columns(known, unions), unions.place))
        ceiling = patch_ceiling(rois.mask, grid)
        for part in parts:
            part.table.add({**part.known, "area": rois.area[part.rows], "iou_ceiling": ceiling[part.rows]})
        return parts

    def _finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stage = _stage(trainer)
        baselines = {method.name for method in self.attributions if method.is_baseline}
        kept = baselines if trainer.state.fn == TrainerFn.FITTING else None
        regions = self._regions.gather(kept)
        unions = self._unions.gather(kept)
        if not self._regions.num_rows:
            return  # no ROI in the split, so no table
        if regions is not None and unions is not None:
            self.tables[stage] = regions
            self.union_tables[stage] = unions
        write_and_log(trainer, pl_module, regions, stage)
        # written even if it is empty, so that every run with a table of regions also has one of unions
        write_and_log(trainer, pl_module, unions, stage, of_unions=True)
        self._maps.write(trainer, stage, {"finding": self.scores, "image": self.union_scores})


def _with_top_area(scores: list[RoiMetric], area: float | None) -> list[RoiMetric]:
    """Return the scores, with another area for `iou_top_area` unless `area` is None."""
    if area is None:
        return scores
    return [IoU("top_area", area) if score.name == "iou_top_area" else score for score in scores]


def _stage(trainer: Trainer) -> str:
    return "test" if trainer.state.fn == TrainerFn.TESTING else "val"


def _check_names(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"Expected {what} with different names but got {names}.")
