"""What a study concludes, and what it cannot."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmpkd.statistics.hypotheses import equivalence_p_value, holm
from mmpkd.study.analysis.answers import Unanswered
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.conclusions import conclude
from mmpkd.study.analysis.run_tables import read_run
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.headline import headline
from mmpkd.study.report.report import write_report
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_study


@pytest.mark.parametrize("table", ["roi_test", "predictions_test"])
def test_arms_that_were_tested_on_other_images_are_not_compared(tmp_path: Path, table: str) -> None:
    plan = load_plan(write_study(tmp_path))
    runs = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(runs, InThisProcess(FakeCommandLine())).finished
    path = tmp_path / "out" / "distilled" / "seed0" / f"{table}.parquet"
    frame = pd.read_parquet(path)
    # as many rows as before, so that no shape gives it away
    frame["sample_id"] = frame["sample_id"].str.replace("s00", "t00")
    frame.to_parquet(path)
    what = "regions" if table == "roi_test" else "images or labels"
    with pytest.raises(StudyError, match=f"Expected the same test {what} in "):
        write_report(plan, tmp_path / "out", plan.seeds, finished, ())


def test_the_declared_family_is_corrected_for_its_size(tmp_path: Path) -> None:
    arms = "  shuffled: {config: distill.yaml, role: student, teacher: teacher}\n"
    family = (
        "family: [{arm: shuffled, reference: baseline, margin: 0.02}, {arm: distilled, reference: shuffled, margin: 0.02},"
        " {arm: shuffled, reference: distilled}]\n"
    )
    path = write_study(tmp_path, (0, 1, 2, 3, 4), family)
    path.write_text(path.read_text().replace("primary:", f"{arms}primary:"))
    plan = load_plan(path)
    runs = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(runs, InThisProcess(FakeCommandLine(effects={"distilled": 0.1, "shuffled": 0.004}))).finished
    found = conclude(plan, [read_run(run) for run in finished])
    assert (found.family[0].declared.score, found.family[1].declared.margin) == ("iou_top_area", 0.02)
    effects = [own.found.effect for own in found.family if isinstance(own.found, Compared)]
    expected = holm([effect.p_value() for effect in effects])
    assert [own.adjusted for own in found.family] == pytest.approx(expected.tolist())
    first, second, third = (own.adjusted_equivalence for own in found.family)
    assert [first, second] == pytest.approx(holm([equivalence_p_value(own, 0.02) for own in effects[:2]]).tolist())
    assert np.isnan(third)
    page = write_report(plan, tmp_path / "out", plan.seeds, finished, ())[1].read_text()
    assert len(re.findall("<h2 [^>]*>Declared family: ", page)) == 3
    assert page.count("after Holm's correction") == 5
    assert page.count("Equivalence within") == 2


def test_one_question_without_an_answer_leaves_the_others_theirs(tmp_path: Path) -> None:
    family = "family: [{arm: baseline, reference: distilled, score: no_such}, {arm: baseline, reference: distilled}]\n"
    plan = load_plan(write_study(tmp_path, (0, 1, 2), family))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    found = conclude(plan, [read_run(run) for run in finished])
    assert found.primary is not None
    assert isinstance(found.family[0].found, Unanswered)
    assert "no_such" in found.family[0].found.detail
    assert isinstance(found.family[1].found, Compared)
    assert found.family[1].adjusted == pytest.approx(2 * found.family[1].found.effect.p_value())
    page = write_report(plan, tmp_path / "out", plan.seeds, finished, ())[1].read_text()
    assert "Declared family: without an answer" in page


def test_arms_without_a_common_seed_have_no_answer_but_a_report(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    some = [run for run in finished if run.name not in ("baseline (seed 0)", "distilled (seed 1)")]
    sentence, page = write_report(plan, tmp_path / "out", plan.seeds, some, ())
    assert sentence.startswith("No answer: Expected distilled and baseline to have a seed and regions in common")
    assert "Arms on the test set" in page.read_text()


def test_a_score_that_is_never_defined_has_no_answer_but_a_report(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    path = tmp_path / "out" / "distilled" / "seed1" / "roi_test.parquet"
    pd.read_parquet(path).assign(iou_top_area=np.nan).to_parquet(path)
    sentence, _ = write_report(plan, tmp_path / "out", plan.seeds, finished, ())
    assert "to be defined for some region in every run" in sentence


def test_levels_are_those_of_the_runs_that_are_compared(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1, 2)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    path = tmp_path / "out" / "baseline" / "seed2" / "roi_test.parquet"
    pd.read_parquet(path).assign(iou_top_area=1.0).to_parquet(path)
    found = conclude(plan, [read_run(run) for run in finished if run.name != "distilled (seed 2)"])
    assert found.primary is not None
    levels = found.primary.levels
    assert levels.arm - levels.reference == pytest.approx(found.primary.effect.estimate, abs=1e-9)


def test_levels_and_counts_leave_out_what_is_undefined_in_one_arm(tmp_path: Path) -> None:
    """An arm whose worst maps are undefined must not look better for it."""
    plan = load_plan(write_study(tmp_path, (0, 1, 2)))
    execute = FakeCommandLine(effects={"distilled": -0.02})
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(execute)).finished
    for path in (tmp_path / "out" / "distilled").glob("seed*/roi_test.parquet"):
        rois = pd.read_parquet(path)
        worst = rois["iou_top_area"] < rois.groupby("attribution")["iou_top_area"].transform("quantile", 0.4)
        rois.assign(iou_top_area=rois["iou_top_area"].mask(worst)).to_parquet(path)
    found = conclude(plan, [read_run(run) for run in finished])
    assert found.primary is not None
    levels = found.primary.levels
    assert levels.arm - levels.reference == pytest.approx(found.primary.effect.estimate, abs=1e-9)
    assert levels.arm < levels.reference
    num_undefined = found.primary.overall.num_undefined
    assert num_undefined > 0
    assert f"({num_undefined} undefined differences left out)" in " ".join(headline(found))


def test_equivalence_is_told_with_its_margin_and_its_interval(tmp_path: Path) -> None:
    path = write_study(tmp_path, (0, 1, 2, 3, 4))
    path.write_text(path.read_text().replace("score: iou_top_area", "score: iou_top_area, margin: 0.05"))
    plan = load_plan(path)
    execute = FakeCommandLine(effects={"distilled": 0.002})
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(execute)).finished
    found = conclude(plan, [read_run(run) for run in finished])
    assert headline(found)[0] == "Distilled and baseline localize equally well within ± 0.05."
    assert found.primary is not None
    inner = found.primary.effect.interval(0.9)
    assert f"(90 % interval {inner.low:+.3f} to {inner.high:+.3f})" in " ".join(headline(found))
