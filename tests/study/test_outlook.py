"""`mmpkd plan`: what the next study could show."""

import json
from pathlib import Path

import pytest

from mmpkd.commands.plan import main
from mmpkd.statistics.planning import minimum_detectable_effect
from mmpkd.study.analysis.conclusions import conclude
from mmpkd.study.analysis.run_tables import read_run
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.plan_file import load_plan
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_study


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pilot")
    plan = load_plan(write_study(folder, (0, 1, 2)))
    run_all(plan_runs(plan, folder / "out", plan.seeds, ()), InThisProcess(FakeCommandLine()))
    return folder


def test_the_study_at_hand_is_what_its_own_runs_say(pilot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = pilot / "figure.svg"
    arguments = [str(pilot / "study.yaml"), "--pilot", str(pilot / "out"), "--difference", "0.01"]
    assert main([*arguments, "--json", "--figure", str(figure)]) == 0
    found = json.loads(capsys.readouterr().out)
    plan = load_plan(pilot / "study.yaml")
    tables = [read_run(run) for run in plan_runs(plan, pilot / "out", plan.seeds, ())]
    primary = conclude(plan, tables).primary
    assert primary is not None
    assert found["at_hand"]["detectable"] == pytest.approx(minimum_detectable_effect(primary.effect))
    assert (found["pilot_seeds"], found["pilot_patients"]) == (3, 40)
    assert found["one_more_seed"]["detectable"] < found["at_hand"]["detectable"]
    assert found["endless_seeds"]["detectable"] < found["one_more_seed"]["detectable"]
    assert found["endless_patients"]["detectable"] < found["tenth_more_patients"]["detectable"]
    by_size = {(own["seeds"], own["patients"]): own["detectable"] for own in found["designs"]}
    for need in found["needed"]:
        for (seeds, patients), detectable in by_size.items():
            if patients == need["patients"]:
                assert (detectable <= 0.01) == (need["seeds"] is not None and seeds >= need["seeds"])
    assert "</svg>" in figure.read_text()


def test_the_tables_name_what_more_seeds_and_patients_buy(pilot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(pilot / "study.yaml"), "--pilot", str(pilot / "out"), "--difference", "0.01"]) == 0
    out = capsys.readouterr().out
    for said in ("one more seed", "10 % more patients", "To show a difference of 0.01", "160 patients", "at best"):
        assert said in " ".join(out.split())


def test_a_pilot_of_two_seeds_is_refused_in_one_line(pilot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = pilot / "two"
    two.mkdir(exist_ok=True)
    plan = load_plan(write_study(two, (0, 1)))
    run_all(plan_runs(plan, two / "out", plan.seeds, ()), InThisProcess(FakeCommandLine()))
    assert main([str(two / "study.yaml"), "--pilot", str(two / "out")]) == 1
    error = capsys.readouterr().err.strip()
    assert "Expected a pilot of at least 3 seeds" in error
    assert "\n" not in error
    assert main([str(two / "study.yaml"), "--pilot", str(two / "nothing")]) == 1
    assert "no finished run of distilled and baseline" in capsys.readouterr().err
