"""How sure runs are of findings, in units of their own negatives."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from mmpkd.records.unit import Unit
from mmpkd.study.analysis.comparison import compare
from mmpkd.study.analysis.confidence import confidence_in, logits
from mmpkd.study.plan.questions import Comparison
from tests.study.tables import LABELS, finished_runs


def test_confidence_is_in_units_of_the_negatives_of_the_same_finding() -> None:
    (run,) = finished_runs("baseline", [0.0])
    index = pd.MultiIndex.from_tuples(
        [("s003", "p003", "Edema"), ("s003", "p003", "Nodule"), ("s001", "p001", "Mass")],
        names=["sample_id", "patient_id", "finding"],
    )
    frame = run.predictions.set_index("sample_id")
    expected = []
    for sample, _, finding in index:
        logit = np.log(frame[f"probability/{finding}"] / (1 - frame[f"probability/{finding}"]))
        negatives = logit[frame[f"target/{finding}"] == 0]
        expected.append((logit[sample] - negatives.mean()) / negatives.std(ddof=0))
    assert confidence_in([run], index)[0] == pytest.approx(expected)


def test_confidence_in_an_image_is_the_mean_over_its_findings() -> None:
    (run,) = finished_runs("baseline", [0.0])
    names = ["sample_id", "patient_id", "finding"]
    by_finding = pd.MultiIndex.from_tuples([("s003", "p003", label) for label in LABELS], names=names)
    image = pd.MultiIndex.from_tuples([("s003", "p003", "any"), ("s001", "p001", "any")], names=names)
    single = pd.MultiIndex.from_tuples([("s001", "p001", "Mass")], names=names)
    found = confidence_in([run], image)[0]
    assert found[0] == pytest.approx(confidence_in([run], by_finding)[0].mean())
    assert found[1] == pytest.approx(confidence_in([run], single)[0][0])


@pytest.mark.parametrize("unit", get_args(Unit))
def test_localization_that_follows_recognition_is_none_beyond_it(unit: Unit) -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(0, 1, 30)
    runs = []
    for name, gain in (("baseline", 0.0), ("distilled", 0.7)):
        for run in finished_runs(name, [0.0] * 5):
            predictions = run.predictions.copy()
            assert run.rois is not None
            assert run.unions is not None
            clear = seen + gain + rng.normal(0, 0.2, 30)
            for label in LABELS:
                logit = np.where(predictions[f"target/{label}"] == 1, clear, rng.normal(-2, 1, 30))
                predictions[f"probability/{label}"] = 1 / (1 + np.exp(-logit))
            score = pd.Series(0.3 + 0.05 * clear, index=predictions["sample_id"])
            tables = [
                own.assign(iou_top_area=own["sample_id"].map(score).where(own["attribution"] == "rollout", 0.05))
                for own in (run.rois, run.unions)
            ]
            runs.append(replace(run, predictions=predictions, rois=tables[0], unions=tables[1]))
    declared = Comparison("distilled", "baseline", "rollout", "iou_top_area", unit=unit)
    found = compare(declared, runs[5:], runs[:5])
    assert found.effect.estimate == pytest.approx(0.035, abs=0.01)
    assert found.matched is not None
    assert abs(found.matched.effect.estimate) < 0.015
    assert found.matched.verdict == "not shown"


def test_logits_are_bounded() -> None:
    assert logits(np.array([0.0, 0.5, 1.0])) == pytest.approx([-10, 0, 10])
    assert logits(np.array([0.9])) == pytest.approx(np.log(9))
