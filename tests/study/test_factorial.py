"""Studies of two domains and two forms."""

import re
from pathlib import Path

import pandas as pd
import pytest

from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.declaration import declare
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.report import write_report
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_factorial_study, write_run


@pytest.mark.parametrize(
    ("contrast", "expected", "estimate"),
    [
        ("domain", "The effect of distillation on localization is higher in chest than in breast", 0.075),
        ("form", "A student localizes better when distilled from text than from table", 0.05),
        ("interaction", "The effect of text minus that of table is higher in chest than in breast", 0.05),
    ],
)
def test_a_factorial_study_answers_its_declared_contrast(
    tmp_path: Path, contrast: str, expected: str, estimate: float
) -> None:
    plan = load_plan(write_factorial_study(tmp_path, contrast))
    effects = {"chest_text": 0.15, "chest_table": 0.075, "breast_text": 0.05, "breast_table": 0.025}
    declare(plan, tmp_path / "out", plan.seeds)
    planned = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(planned, InThisProcess(FakeCommandLine(effects=effects))).finished
    sentence, path = write_report(plan, tmp_path / "out", plan.seeds, finished, ())
    assert sentence.startswith(expected)
    found = re.search(r"([+-]\d\.\d{3}) \(95 % interval ([+-]\d\.\d{3}) to ([+-]\d\.\d{3})\)", sentence)
    assert found is not None
    value, low, high = map(float, found.groups())
    assert value == pytest.approx(estimate, abs=0.005)
    assert 0 < low < value < high
    page = path.read_text()
    assert len(re.findall("<h2 [^>]*>Exploratory: ", page)) == 4
    assert f">{contrast}, declared</th>" in page


def test_arms_below_chance_are_listed(tmp_path: Path) -> None:
    plan = load_plan(write_factorial_study(tmp_path, "form"))
    effects = {"chest_text": -0.4, "chest_table": -0.41, "breast_text": 0.05, "breast_table": -0.42}
    declare(plan, tmp_path / "out", plan.seeds)
    planned = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(planned, InThisProcess(FakeCommandLine(effects=effects))).finished
    sentence, _ = write_report(plan, tmp_path / "out", plan.seeds, finished, ())
    assert "Chest_text, chest_table and breast_table did not beat the best baseline map." in sentence


def test_seeds_whose_runs_do_not_localize_are_left_out_of_a_contrast(tmp_path: Path) -> None:
    plan = load_plan(write_factorial_study(tmp_path, "domain"))
    effects = {"chest_text": 0.15, "chest_table": 0.075, "breast_text": 0.05, "breast_table": 0.025}
    declare(plan, tmp_path / "out", plan.seeds)
    planned = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(planned, InThisProcess(FakeCommandLine(effects=effects))).finished
    path = tmp_path / "out" / "chest_text" / "seed3" / "roi_test.parquet"
    rois = pd.read_parquet(path)
    rois.loc[rois["attribution"] == "rollout", "iou_top_area"] = 0.0
    rois.to_parquet(path)
    sentence, _ = write_report(plan, tmp_path / "out", plan.seeds, finished, ())
    assert sentence.startswith("The effect of distillation on localization is higher in chest than in breast.")
    assert "+0.07" in sentence
    assert "from 5 of 5 planned seeds and 80 patients. 1 seed is left out, because a run does not localize." in sentence
    assert "With fewer than 5 seeds, this is only a hint." in sentence


def test_a_factorial_study_of_one_seed_or_missing_arms_has_no_answer_yet(tmp_path: Path) -> None:
    plan = load_plan(write_factorial_study(tmp_path, "domain", (0,)))
    runs = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(runs, InThisProcess(FakeCommandLine())).finished
    assert "needs at least two seeds" in write_report(plan, tmp_path / "out", plan.seeds, finished, ())[0]
    some = [run for run in finished if run.arm.name != "breast_text"]
    assert "no finished run of breast_text" in write_report(plan, tmp_path / "out", plan.seeds, some, ())[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("contrast: domain", "contrast: donain", "expected `contrast` to be one of"),
        ("text: breast_text, table", "text: breast_text, tabel", "same two forms"),
        ("reference: chest_baseline", "reference: breast_baseline", "expected every student arm"),
        ("    chest:", "    ../chest:", "expected names without / .* but got '../chest'"),
        ("    chest:", "    'chest #1':", "but got 'chest #1'. Rename it"),
        (
            "factorial:",
            "primary: {arm: chest_text, reference: chest_baseline, attribution: rollout, score: x}\nfactorial:",
            "got both",
        ),
    ],
)
def test_designs_that_are_not_two_by_two_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_factorial_study(tmp_path, "domain")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StudyError, match=message):
        load_plan(path)


def test_domains_that_share_patients_are_not_contrasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def same_patients(folder: Path, seed: int, shift: float, role: str, patients_of: str) -> None:
        del patients_of
        write_run(folder, seed, shift, role)

    monkeypatch.setattr("tests.study.synthetic.write_run", same_patients)
    plan = load_plan(write_factorial_study(tmp_path, "domain", (0, 1)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    assert "but 40 are in both" in write_report(plan, tmp_path / "out", plan.seeds, finished, ())[0]
