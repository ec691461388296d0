"""What a comparison claims, of what, and when it claims nothing."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mmpkd.records import Lineage, TrainingRecord
from mmpkd.records.unit import Unit
from mmpkd.statistics.hypotheses import gated, holm
from mmpkd.statistics.looks import look_levels
from mmpkd.statistics.recognition import Matched
from mmpkd.study.analysis.comparison import Compared, compare
from mmpkd.study.analysis.conclusions import conclude
from mmpkd.study.analysis.progress import Progress
from mmpkd.study.analysis.run_tables import RunTables, tables_by_arm
from mmpkd.study.plan.questions import Average, Comparison
from mmpkd.study.plan.study_plan import Arm, StudyPlan
from mmpkd.study.report.answer import answer
from tests.study.tables import finished_runs

FIVE = (0.0, 0.004, -0.003, 0.002, -0.004)
BETTER = tuple(0.1 + own for own in FIVE)


def question(unit: Unit = "finding", average: Average = "patients", **more: object) -> Comparison:
    declared = Comparison("distilled", "baseline", "rollout", "iou_top_area", unit=unit, average=average)
    return replace(declared, **more)  # type: ignore[arg-type]


def compared(
    shifts: Sequence[float], declared: Comparison | None = None, progress: Progress | None = None, **more: object
) -> Compared:
    reference = finished_runs("baseline", FIVE[: len(shifts)])
    return compare(declared or question(), finished_runs("distilled", shifts, **more), reference, progress)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("num", "claim", "said"),
    [
        (5, "higher", "Distilled localizes better than baseline. "),
        (4, "higher", "With fewer than 5 seeds, this is only a hint."),
        (2, "no claim", "No answer from two seeds: run at least 5."),
        (1, "no claim", "No answer from one seed: a single training run says nothing about the method"),
    ],
)
def test_what_may_be_claimed_depends_on_the_number_of_seeds(num: int, claim: str, said: str) -> None:
    found = compared(BETTER[:num])
    assert found.verdict == claim
    assert said in answer(found)
    assert np.isnan(found.p_value) == (num < 3)
    # there is an interval in any case
    assert np.isfinite(found.overall.interval.low)


@pytest.mark.parametrize(("num", "claim"), [(5, "equivalent"), (4, "higher")])
def test_equivalence_needs_five_seeds(num: int, claim: str) -> None:
    assert compared(BETTER[:num], question(margin=0.5)).verdict == claim


def test_a_claim_of_several_questions_is_made_after_correction() -> None:
    equal = compared(FIVE, question(margin=0.5))
    assert equal.verdict == "equivalent"
    assert replace(equal, adjusted_equivalence=0.2).verdict == "not shown"
    better = compared(BETTER)
    assert replace(better, adjusted=0.2).verdict == "not shown"
    assert replace(better, adjusted=0.01).verdict == "higher"


def test_the_estimand_is_named_and_the_others_are_described() -> None:
    """Patients of three findings count once each, and lose; regions count by their number, and findings alike."""
    by_finding = {"Edema": 0.05, "Mass": 0.05, "Nodule": -0.4}
    declared = compared(FIVE, question(), by_finding=by_finding)
    own = {declared.overall.average: declared.effect.estimate}
    own |= {other.average: other.effect.estimate for other in declared.described}
    # 20 patients gain 0.05; 10 lose 0.1, the mean of their three regions
    assert own["patients"] == pytest.approx((20 * 0.05 - 10 * 0.1) / 30, abs=0.01)
    assert own["regions"] == pytest.approx((40 * 0.05 - 10 * 0.4) / 50, abs=0.01)
    assert own["findings"] == pytest.approx((0.05 + 0.05 - 0.4) / 3, abs=0.01)
    sentence = answer(declared)
    assert "Difference in IoU (top area) of rollout, distilled minus baseline: " in sentence
    estimand = (
        "This is the mean over patients, each finding scored separately, with an interval over seeds and patients, "
    )
    assert f"{estimand}from 5 of 5 planned seeds and " in sentence
    findings = compared(FIVE, question(average="findings"), by_finding=by_finding)
    assert findings.effect.estimate == pytest.approx(own["findings"])
    assert "mean over findings" in answer(findings)


def test_averages_that_disagree_in_sign_are_told() -> None:
    found = compared(FIVE, by_finding={"Edema": 0.1, "Mass": 0.1, "Nodule": -0.5})
    assert found.effect.estimate > 0.02
    sentence = answer(found)
    said = r"The mean over findings \(-0\.\d+\) and the mean over regions \(-0\.\d+\) have the opposite sign\."
    assert re.search(said, sentence)
    assert "the opposite sign" not in answer(compared(BETTER))


def test_findings_that_differ_are_named_in_the_answer() -> None:
    found = compared(FIVE, by_finding={"Edema": 0.1, "Nodule": -0.2})
    assert found.findings.p_value < 0.05
    said = r"varies between findings; compared with their mean, it is higher for Edema.*; lower for Nodule\."
    assert re.search(said, answer(found))
    assert "varies between findings" not in answer(compared(BETTER))


def test_all_regions_of_an_image_are_one_and_findings_are_still_shown() -> None:
    found = compared(BETTER, question("image"), by_finding={"Nodule": -0.3})
    assert found.overall.num_rois == 30
    assert (
        "This is the mean over patients, all regions of an image scored together, with an interval over seeds and patients, from "
        in answer(found)
    )
    assert "30 test images of 30 patients" in answer(found)
    assert [own.finding for own in found.by_finding] == ["Edema", "Mass", "Nodule"]
    assert "lower for Nodule" in answer(found)
    assert [own.average for own in found.described] == ["regions"]


def test_runs_that_do_not_localize_are_counted_and_left_out() -> None:
    shifts = (0.1, -0.3, 0.1, 0.09, 0.11)
    found = compared(shifts, question(margin=0.5))
    assert found.collapse.arm == (False, True, False, False, False)
    assert found.effect.estimate == pytest.approx(0.1, abs=0.02)
    sentence = answer(found)
    assert sentence.startswith("Among the 4 seeds whose runs both localize, distilled localizes better than baseline. ")
    assert re.search(r", from 4 seeds and \d+ regions of 30 patients.*; 5 of 5 planned seeds are finished\.", sentence)
    assert re.search(
        r"Mean scores of all runs: .*; best baseline map, which needs no student \(all-ones map\), 0\.050\. "
        r"1 of 5 runs of distilled and 0 of 5 runs of baseline do not localize better than the best baseline map "
        r"\(Fisher's exact test of a difference in that: p = 1\.000\)\.",
        sentence,
    )
    assert sentence.endswith("With fewer than 5 seeds, this is only a hint.")
    assert found.verdict == "higher"  # no equivalence, though the margin is wide
    assert np.isnan(found.equivalence)


def test_two_pairs_that_localize_answer_nothing() -> None:
    found = compared((0.1, -0.3, -0.3, -0.3, 0.1))
    assert found.verdict == "no claim"
    assert np.isnan(found.effect.estimate)
    assert "3 of 5 runs of distilled" in answer(found)
    assert answer(found).startswith(
        "No answer: the runs of both arms localize in fewer than 3 seeds. Asked for: difference in IoU (top area) of rollout, "
        "distilled minus baseline. Finished: 5 of 5 planned seeds. Mean scores of all runs: "
    )


def test_the_share_of_runs_that_may_not_localize_is_told() -> None:
    said = "All 10 runs beat the best baseline map. Judging by 5 seeds, up to 45 % of further runs may not "
    said += "(95 % upper limit)."
    assert answer(compared(BETTER)).endswith(said)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (
            0.09,
            r"Adjusted for how well each recognises the findings \(exploratory\), the difference is \+0\.090 \(95 % interval "
            r"\+0\.\d+ to \+0\.\d+\)\. All",
        ),
        (0.001, r"\(exploratory\), no difference is shown: \+0\.001 \(95 % interval -0\.\d+ to \+0\.\d+\)\. All"),
    ],
)
def test_what_is_left_at_equal_recognition_is_part_of_a_claim(left: float, said: str) -> None:
    found = compared(BETTER)
    effect = replace(found.effect, estimate=left)
    matched = Matched(effect, unadjusted=0.1, correlation=0.5, num_rois=100)
    assert re.search(said, answer(replace(found, matched=matched)))
    not_shown = compared(FIVE)
    assert "equally well" not in answer(replace(not_shown, matched=matched))


def test_an_unfinished_study_has_no_verdict() -> None:
    arm = finished_runs("distilled", BETTER, failed=(1, 3))
    reference = finished_runs("baseline", FIVE)
    progress = Progress((0, 1, 2, 3, 4), failed=frozenset({("distilled", 1)}))
    found = compare(question(), arm, reference, progress)
    assert found.limit == "interim"
    assert found.verdict == "no claim"
    assert np.isnan(found.p_value)
    said = "No verdict yet: 3 of 5 planned seeds are finished (1 run failed, 1 run is missing)."
    assert answer(found).startswith(said)
    assert "5 of 5 planned seeds" in answer(compared(BETTER, progress=Progress((0, 1, 2, 3, 4))))


def test_seeds_that_were_not_planned_do_not_stand_in_for_those_that_were() -> None:
    progress = Progress((0, 1, 2, 3, 9))
    assert compared(BETTER, progress=progress).limit == "interim"


def test_a_planned_look_claims_at_its_own_level_and_none_between() -> None:
    planned = tuple(range(6))
    progress = Progress(planned, looks=(5, 6))
    found = compared(BETTER, progress=progress)
    level = look_levels((5, 6))[5]
    assert found.count.level == level
    assert found.verdict == "higher"
    assert f"({100 * (1 - level):.1f} % interval" in answer(found)
    assert "5 of 6 planned seeds" in answer(found)
    weak = compared((0.02, -0.015, 0.03, 0.0, 0.012), progress=Progress((0, 1, 2, 3, 4)))
    assert weak.verdict == "not shown"
    assert compared(BETTER[:4], progress=progress).limit == "interim"
    # the first ones of those that were planned, not any five
    later = Progress((5, *planned[:5]), looks=(5, 6))
    assert compared(BETTER, progress=later).limit == "interim"


def test_like_is_compared_with_like() -> None:
    """The mean region of a finding knows more than a map that is the same for all findings."""
    maps = {"all_ones": 0.05, "mean_roi": 0.5}
    arms = finished_runs("distilled", BETTER, baselines=maps), finished_runs("baseline", FIVE, baselines=maps)
    rollout = compare(question(), *arms)
    assert rollout.levels.baseline is not None
    assert (rollout.levels.baseline.name, rollout.collapse.happened) == ("all_ones", False)
    grad_cam = compare(question(attribution="grad_cam"), *arms)
    assert grad_cam.levels.baseline is not None
    assert grad_cam.levels.baseline.name == "mean_roi"
    assert sum(grad_cam.collapse.arm) == 5


def test_arms_that_differ_in_more_than_the_question_are_told() -> None:
    arm, reference = finished_runs("distilled", BETTER), finished_runs("baseline", FIVE)
    assert "also differ" not in answer(compare(question(), arm, reference))
    usual = Lineage("abc", "1", None, None, {"train": "e"})
    reference = [
        replace(run, state=replace(run.state, training=TrainingRecord(2, 20, 1.0), made_from=usual))
        for run in reference
    ]
    longer = TrainingRecord(epochs=4, steps=40, seconds=1.0)
    other = Lineage("abd", "1", None, None, {"train": "f"})
    moved = [replace(run, state=replace(run.state, training=longer, made_from=other)) for run in arm]
    said = answer(compare(question(), moved, reference))
    assert "Distilled and baseline also differ in training data or privileged input, code and training budget." in said


def test_equivalence_from_few_patients_with_a_difference_is_qualified() -> None:
    """Where most patients do not differ at all, equal arms prove little."""
    arm, reference = finished_runs("distilled", FIVE, num_patients=60), finished_runs("baseline", FIVE, num_patients=60)
    wide = question(margin=0.5)
    found = compare(wide, arm, reference)
    assert (found.verdict, found.overall.num_differing) == ("equivalent", 60)
    assert "Only" not in answer(found)
    few = [_equal_but_for(own, other, 12) for own, other in zip(arm, reference, strict=True)]
    found = compare(wide, few, reference)
    assert (found.verdict, found.overall.num_differing) == ("equivalent", 12)
    assert "Only 12 patients have any difference: from fewer than 30, equivalence can be claimed falsely" in answer(
        found
    )


def _equal_but_for(run: RunTables, other: RunTables, num: int) -> RunTables:
    """Return a run that scores like another one except in the first patients."""
    assert run.rois is not None
    assert other.rois is not None
    first = f"p{num:03d}"
    rois = [run.rois[run.rois["patient_id"] < first], other.rois[other.rois["patient_id"] >= first]]
    return replace(run, rois=pd.concat(rois))


def plan(gate: bool, endpoint: Comparison, family: Sequence[Comparison]) -> StudyPlan:
    names = ("baseline", "distilled", "other")
    arms = tuple(Arm(name, (), "student") for name in names)
    return StudyPlan("demo", "?", (0, 1, 2, 3, 4), arms, primary=endpoint, family=tuple(family), gate=gate)


@pytest.mark.parametrize("gate", [True, False])
def test_a_family_is_behind_a_gate_or_corrected_with_the_endpoint(gate: bool) -> None:
    endpoint = question()
    family = [replace(endpoint, arm="other"), replace(endpoint, reference="other")]
    tables = [
        *finished_runs("baseline", FIVE),
        *finished_runs("distilled", FIVE[::-1]),
        *finished_runs("other", BETTER),
    ]
    found = conclude(plan(gate, endpoint, family), tables)
    assert found.primary is not None
    by_arm = tables_by_arm(tables, ("baseline", "distilled", "other"))
    p_values = [compare(own, by_arm[own.arm], by_arm[own.reference]).p_value for own in (endpoint, *family)]
    assert p_values[0] > 0.05 > max(p_values[1:])
    if gate:  # no difference of the endpoint is claimed
        assert [own.adjusted for own in found.family] == gated(False, p_values[1:]).tolist()
        claims = [own.found.verdict for own in found.family if isinstance(own.found, Compared)]
        assert claims == ["not shown", "not shown"]
    else:
        assert [found.primary.adjusted, *(own.adjusted for own in found.family)] == holm(p_values).tolist()
        assert [own.found.verdict for own in found.family if isinstance(own.found, Compared)] == ["higher", "lower"]
