"""The W&B workspace of mmpkd, as code. Needs `mmpkd[dashboard]`."""

from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

STUDENT = ("rollout", "last_layer")
BASELINES = ("all_ones", "random", "center_gaussian", "image_intensity")
SCORES = {
    "pointing_game": "Pointing game",
    "iou_top_area": "IoU at a fixed area",
    "iou_otsu": "IoU (Otsu)",
    "relevance_mass": "Relevance mass",
    "pixel_auroc": "Pixel AUROC",
}
STEP = "trainer/global_step"


def build(entity: str, project: str) -> ws.Workspace:
    """Return the workspace. Nothing is sent until it is saved.

    Args:
        entity: User or team.
        project: W&B project.
    """
    return ws.Workspace(
        entity=entity,
        project=project,
        name="mmpkd: where does it look?",
        sections=[_maps(), _localization(), _recognition(), _losses(), _test()],
        settings=ws.WorkspaceSettings(x_axis=STEP, smoothing_type="none", max_runs=50),
        runset_settings=ws.RunsetSettings(groupby=[ws.Metric("Group"), ws.Metric("JobType")]),
    )


def _maps() -> ws.Section:
    panels = [
        wr.MediaBrowser(
            title="Fixed validation images over training", media_keys=["val/attribution/rollout"], num_columns=4
        ),
        wr.MediaBrowser(title="Fixed test images", media_keys=["test/attribution/rollout"], num_columns=4),
        wr.MediaBrowser(title="Test images: hits", media_keys=["test/attribution/rollout/hits"], num_columns=4),
        wr.MediaBrowser(title="Test images: misses", media_keys=["test/attribution/rollout/misses"], num_columns=4),
    ]
    return ws.Section(name="Where it looks", panels=panels, is_open=True)


def _localization() -> ws.Section:
    panels: list[Any] = [_score_plot(score, title) for score, title in SCORES.items()]
    panels.append(wr.LinePlot(title="Relevance lost to prefix tokens", x=STEP, y=["val/rollout/prefix_mass"]))
    return ws.Section(name="Localization, validation", panels=panels, is_open=True)


def _score_plot(score: str, title: str) -> wr.LinePlot:
    return wr.LinePlot(
        title=f"{title}: student against baseline maps",
        x=STEP,
        y=[f"val/{name}/{score}" for name in (*STUDENT, *BASELINES)],
        legend_position="south",
    )


def _recognition() -> ws.Section:
    panels = [
        wr.LinePlot(title="AUROC, mean over labels", x=STEP, y=["val/auroc_macro"]),
        wr.LinePlot(title="AUROC by label", x=STEP, metric_regex="val/auroc/.*"),
        wr.LinePlot(title="Average precision, mean over labels", x=STEP, y=["val/auprc_macro"]),
        wr.LinePlot(title="Calibration error, mean over labels", x=STEP, y=["val/ece_macro"]),
    ]
    return ws.Section(name="Recognition, validation", panels=panels, is_open=True)


def _losses() -> ws.Section:
    panels = [
        wr.LinePlot(title="Loss", x=STEP, y=["train/loss"]),
        wr.LinePlot(title="Task term", x=STEP, y=["train/task"]),
        wr.LinePlot(title="Distillation term", x=STEP, y=["train/distillation"]),
        wr.LinePlot(title="All terms, weights and temperatures", x=STEP, metric_regex="train/.*"),
    ]
    return ws.Section(name="Losses by term", panels=panels)


def _test() -> ws.Section:
    bars: list[Any] = [wr.BarPlot(title="AUROC, mean over labels", metrics=["test/auroc_macro"])]
    bars += [_score_bars(score, title) for score, title in SCORES.items()]
    bars += [_union_bars(score, title) for score, title in SCORES.items()]
    bars.append(wr.WeavePanelSummaryTable(table_name="test/localization_by_stratum"))
    bars.append(wr.WeavePanelSummaryTable(table_name="test/union_localization_by_stratum"))
    return ws.Section(name="Test", panels=bars)


def _score_bars(score: str, title: str) -> wr.BarPlot:
    names = (*STUDENT, "relevance", "grad_cam", *BASELINES, "mean_roi", "mean_roi_all")
    return wr.BarPlot(title=f"{title}, test", metrics=[f"test/{name}/{score}" for name in names])


def _union_bars(score: str, title: str) -> wr.BarPlot:
    names = (*STUDENT, *BASELINES, "mean_roi_all")
    return wr.BarPlot(
        title=f"{title}, union of regions, test", metrics=[f"test/{name}/union/{score}" for name in names]
    )
