"""A finished study with everything that a report can show, made without any training."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from data_modules.files.json_file import write_json
from mmpkd.records import TestRecord, TrainingRecord
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.declaration import declare
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.report import write_report
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_study

FINDINGS = ("Consolidation", "Enlarged Cardiomediastinum", "Pneumothorax")
SCORES = (
    "iou_top_area",
    "pointing_game",
    "iou_otsu",
    "iou_val",
    "miou",
    "relevance_mass",
    "relevance_rank",
    "pixel_auroc",
    "pixel_ap",
    "cnr",
)
NUM_IMAGES = 60
NUM_EPOCHS = 3
MONITOR = "val/auroc_macro"


class RichCommandLine(FakeCommandLine):
    """Leaves what a real run leaves: several findings and attributions, strata, learning, faithfulness, a card, maps."""

    def __call__(self, command: RunCommand) -> None:
        super().__call__(command)
        if command.verb != "test":
            return
        run = command.run
        folder = run.folder
        rng = np.random.default_rng([run.seed, len(run.arm.name)])
        write_predictions(folder, rng)
        metrics(run.seed).to_csv(folder / "metrics.csv", index=False)
        if run.arm.role == "student":
            write_rois(folder, rng, 0.1 if run.arm.name == "distilled" else 0.0)
            write_faithfulness(folder, rng)
            for path in (folder / "maps" / "test").glob("*.png"):
                Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)).resize((384, 384)).save(path)
        if run.arm.name == "distilled":
            write_json(folder / "teacher_card.json", card())
        data = {name: {"samples": 10, "patients": 5} for name in ("train", "val", "test")}
        date = f"2026-01-0{run.seed + 1}T12:00:00+00:00"
        test = TestRecord(None, {}, data, "synthetic", FINDINGS, "abc", "1", date, "A processor, 1 thread")
        run.record.update(test=test, training=TrainingRecord(NUM_EPOCHS, 30, 1.0, MONITOR))


def images() -> pd.DataFrame:
    """Return the images of the test set, two a patient."""
    numbers = range(NUM_IMAGES)
    return pd.DataFrame({"sample_id": [f"s{i:03d}" for i in numbers], "patient_id": [f"p{i // 2}" for i in numbers]})


def write_predictions(folder: Path, rng: np.random.Generator) -> None:
    frame = images()
    for k, finding in enumerate(FINDINGS):
        target = (np.arange(NUM_IMAGES) % (k + 2) == 0).astype(float)
        frame[f"target/{finding}"] = target
        frame[f"probability/{finding}"] = np.clip(0.3 * target + 0.7 * rng.random(NUM_IMAGES), 0, 1)
    frame.to_parquet(folder / "predictions_test.parquet")


def write_rois(folder: Path, rng: np.random.Generator, shift: float) -> None:
    frames = []
    for finding in FINDINGS:
        for attribution in ("rollout", "relevance", "all_ones", "mean_roi"):
            own = images().assign(finding=finding, attribution=attribution, target=1.0)
            own["area"] = 0.02 + 0.001 * np.arange(NUM_IMAGES)
            own["num_regions"] = 1 + np.arange(NUM_IMAGES) % 4
            own["stratum/view"] = np.where(
                np.arange(NUM_IMAGES) % 3 == 0, "", np.where(np.arange(NUM_IMAGES) % 2, "AP", "PA")
            )
            own["stratum/age"] = np.where(np.arange(NUM_IMAGES) % 2, "9 to 17", "18 and more")
            own["probability"] = rng.random(NUM_IMAGES)
            own["recognised"] = (own["probability"] > 0.5).astype(float)
            for score in SCORES:
                own[score] = 0.3 + (shift if attribution == "rollout" else 0.0) + 0.05 * rng.standard_normal(NUM_IMAGES)
            frames.append(own)
    pd.concat(frames, ignore_index=True).to_parquet(folder / "roi_test.parquet")


def write_faithfulness(folder: Path, rng: np.random.Generator) -> None:
    frames = []
    for attribution, better in (("rollout", 0.1), ("random", 0.0)):
        own = images().head(20).assign(finding=FINDINGS[0], attribution=attribution)
        own["deletion"] = 0.4 - better + 0.01 * rng.standard_normal(20)
        own["insertion"] = 0.5 + better + 0.01 * rng.standard_normal(20)
        frames.append(own)
    pd.concat(frames, ignore_index=True).to_parquet(folder / "faithfulness_test.parquet")


def metrics(seed: int) -> pd.DataFrame:
    """Return the values of a training whose second epoch is the best."""
    rows: list[tuple[int, float | None, str, float]] = []
    for epoch in range(NUM_EPOCHS):
        rows += [(10 * epoch + step, epoch, "train/loss", 1.0 - 0.2 * epoch - 0.01 * step) for step in (4, 9)]
        rows.append((10 * epoch + 9, epoch, MONITOR, 0.6 + 0.01 * seed + (0.2, 0.3, 0.25)[epoch]))
    rows.append((30, None, "test/auroc_macro", 0.7))
    return pd.DataFrame(rows, columns=["step", "epoch", "name", "value"])


def card() -> dict[str, object]:
    """Return the card of a teacher that agrees less with labels that err."""
    score = {"value": 0.75, "low": 0.7, "high": 0.8}
    scores = {finding: dict.fromkeys(("auroc", "auprc", "ece", "brier"), score) for finding in FINDINGS}
    return {
        "split": "val",
        "input_mode": "TextEncoder on text",
        "num_samples": 30,
        "num_patients": 15,
        "scores": scores,
        "auroc_macro": {"value": 0.99, "low": 0.98, "high": 1.0},
        "label_note": "About 12% of these labels are wrong on purpose.",
        "calibration_temperature": 1.1,
        "warnings": ["A warning."],
    }


def write_rich_report(folder: Path) -> Path:
    """Make the study in a folder, and return the page of its report."""
    plan = load_plan(write_study(folder, (0, 1)))
    declare(plan, folder / "out", plan.seeds)
    runs = plan_runs(plan, folder / "out", plan.seeds, ())
    outcome = run_all(runs, InThisProcess(RichCommandLine()))
    return write_report(plan, folder / "out", plan.seeds, outcome.finished, outcome.failed)[1]
