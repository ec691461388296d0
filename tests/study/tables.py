"""Tables of finished runs with known scores, without a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmpkd.records import RunState, TestRecord
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.study_plan import Arm

LABELS = ("Edema", "Mass", "Nodule")


def finished_runs(
    name: str,
    shifts: Sequence[float],
    by_finding: Mapping[str, float] | None = None,
    baselines: Mapping[str, float] | None = None,
    num_patients: int = 30,
    failed: Sequence[int] = (),
) -> list[RunTables]:
    """Return the runs of an arm, one a seed.

    Args:
        name: Name of the arm.
        shifts: How much better than 0.3 each run localizes; its number is the seed.
        by_finding: What is added for a finding.
        baselines: Score of each baseline map; mean_roi is not in the table of unions.
        num_patients: Patients, with an image each; every third has all three findings, the others one of the first two.
        failed: Seeds without a run.
    """
    arm = Arm(name, (), "student")
    runs = []
    for seed, shift in enumerate(shifts):
        if seed in failed:
            continue
        run = Run(arm, seed, Path(name) / f"seed{seed}")
        rois = _rois(f"{name}{seed}", shift, by_finding or {}, baselines or {"all_ones": 0.05}, num_patients)
        test = TestRecord(None, {}, {}, "open", LABELS, None, "1")
        predictions = _predictions(seed, num_patients)
        runs.append(RunTables(run, RunState(status="tested", test=test), test, predictions, rois, _unions(rois)))
    return runs


def _rois(
    salt: str, shift: float, by_finding: Mapping[str, float], baselines: Mapping[str, float], num_patients: int
) -> pd.DataFrame:
    shared = np.random.default_rng(0).normal(0, 0.05, num_patients)
    rng = np.random.default_rng([ord(letter) for letter in salt])
    rows: list[dict[str, object]] = []
    for patient in range(num_patients):
        for finding in _findings(patient):
            key = {"sample_id": f"s{patient:03d}", "patient_id": f"p{patient:03d}", "finding": finding}
            noise = rng.normal(0, 0.01)
            score = 0.3 + shift + by_finding.get(finding, 0.0) + shared[patient] + noise
            scores = {"rollout": score, "grad_cam": score, **baselines}
            rows += ({**key, "attribution": own, "iou_top_area": value} for own, value in scores.items())
    return pd.DataFrame(rows).assign(area=0.1, target=1.0, probability=0.6, recognised=1.0)


def _findings(patient: int) -> tuple[str, ...]:
    return LABELS if patient % 3 == 0 else (LABELS[patient % 2],)


def _unions(rois: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over the findings of an image, of the maps that are the same for all findings."""
    common = rois[~rois["attribution"].isin(["grad_cam", "mean_roi"])]
    key = ["sample_id", "patient_id", "attribution"]
    means = common.groupby(key)["iou_top_area"].mean().to_frame().reset_index()
    return means.assign(finding="any", area=0.1, target=1.0, probability=0.6, recognised=1.0)


def _predictions(seed: int, num_patients: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"sample_id": [f"s{i:03d}" for i in range(num_patients)]})
    frame["patient_id"] = [f"p{i:03d}" for i in range(num_patients)]
    for label in LABELS:
        frame[f"target/{label}"] = [float(label in _findings(patient)) for patient in range(num_patients)]
        frame[f"probability/{label}"] = rng.uniform(0.05, 0.95, num_patients)
    return frame
