"""What was declared before the first run."""

import json
from pathlib import Path

import pytest

from mmpkd.commands.study import main
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import FailedRun
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.declaration import FILE, declare, declared_seeds, is_as_declared
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.report import write_report
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_study


def test_what_is_declared_after_a_run_is_exploratory(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path))
    before, after = tmp_path / "before", tmp_path / "after"
    declare(plan, before, plan.seeds)
    assert is_as_declared(plan, before)
    declare(plan, after, plan.seeds, ["baseline (seed 0)"])
    assert json.loads((after / FILE).read_text())["finished"] == ["baseline (seed 0)"]
    assert not is_as_declared(plan, after)
    assert not is_as_declared(plan, tmp_path / "never")


def test_every_part_of_the_question_is_declared(tmp_path: Path) -> None:
    path = write_study(tmp_path, (0, 1, 2, 3, 4, 5), "family: [{arm: baseline, reference: distilled}]\n")
    plan = load_plan(path)
    declare(plan, tmp_path, plan.seeds)
    text = path.read_text()
    for old, new in (
        ("score: iou_top_area", "score: iou_top_area, unit: image"),
        ("score: iou_top_area", "score: iou_top_area, average: findings"),
        ("seeds: [", "gate: false\nseeds: ["),
        ("seeds: [", "looks: [5, 6]\nseeds: ["),
        ("family: [{", "family: [{margin: 0.1, "),
    ):
        path.write_text(text.replace(old, new))
        assert not is_as_declared(load_plan(path), tmp_path), new
    path.write_text(text)
    assert is_as_declared(load_plan(path), tmp_path)


def test_a_study_with_looks_declares_all_of_its_seeds_at_the_first(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1, 2, 3, 4, 5), "looks: [5, 6]\n"))
    declare(plan, tmp_path, plan.seeds[:5])
    assert declared_seeds(tmp_path) == plan.seeds


def test_a_failed_run_stays_failed_in_a_report_that_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1, 2)))
    out = tmp_path / "out"
    declare(plan, out, plan.seeds)
    runs = plan_runs(plan, out, plan.seeds, ())
    run_all(runs, InThisProcess(FakeCommandLine()))
    (broken,) = (run for run in runs if run.name == "baseline (seed 1)")
    broken.record.update(status="failed", reason="it broke")
    assert main([str(tmp_path / "study.yaml"), "--out", str(out), "--report-only"]) == 1
    assert "No verdict yet: 2 of 3 planned seeds are finished (1 run failed)." in capsys.readouterr().out
    assert "it broke" in (out / "report" / "index.html").read_text()


def test_planned_failed_and_missing_runs_stand_in_the_answer(tmp_path: Path) -> None:
    """The best runs of a study cannot be reported as if they were all."""
    plan = load_plan(write_study(tmp_path, (0, 1, 2, 3)))
    out = tmp_path / "out"
    declare(plan, out, plan.seeds)
    runs = plan_runs(plan, out, plan.seeds, ())
    finished = run_all(runs, InThisProcess(FakeCommandLine())).finished
    kept = [run for run in finished if run.name not in ("baseline (seed 1)", "distilled (seed 2)")]
    failed = [FailedRun(run, "broke") for run in runs if run.name == "baseline (seed 1)"]
    sentence, _ = write_report(plan, out, plan.seeds, kept, failed)
    assert sentence.startswith("No verdict yet: 2 of 4 planned seeds are finished (1 run failed, 1 run is missing).")
    # also if only the finished ones are asked for
    sentence, _ = write_report(plan, out, (0, 3), kept, ())
    assert "No verdict yet: 2 of 4 planned seeds are finished (2 runs are missing)." in sentence
