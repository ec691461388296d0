"""Students that are tested on another data set."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pandas as pd
import pytest

from mmpkd.study.analysis.run_tables import RunTables, read_run
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.domains import external_domain
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.explorer.explorer import Explorer
from mmpkd.study.report.provenance import circumstances
from mmpkd.study.report.report import write_report
from mmpkd.study.report.sections.section import section
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_factorial_study, write_study

EXTERNAL = "external: {elsewhere: {data: other.yaml, arms: [baseline, distilled], overrides: [--data.root=x]}}\n"


def test_students_are_tested_on_another_data_set_without_training_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path, (0, 1), EXTERNAL)
    (tmp_path / "other.yaml").write_text("class_path: Other\n")
    plan = load_plan(path)
    runs = plan_runs(plan, tmp_path / "out", plan.seeds, ("--data.batch_size=2", "--trainer.devices=1"))
    command = FakeCommandLine()
    outcome = run_all(runs, InThisProcess(command))
    tests = [call for call in command.calls if "--data" in call]
    assert len(tests) == 4
    assert all(call[0] == "test" and "--data.batch_size=2" not in call for call in tests)
    assert all("--trainer.devices=1" in call and "--data.root=x" in call for call in tests)
    assert tests[0][tests[0].index("--ckpt_path") + 1] == str(tmp_path / "out/baseline/seed0/checkpoints/best.ckpt")
    assert tests[0][tests[0].index("--run.dir") + 1] == str(tmp_path / "out/baseline/seed0/external/elsewhere")
    given: list[Mapping[str, Sequence[RunTables]]] = []
    pages = (Explorer("", "explore.html"), Explorer("elsewhere", "explore_elsewhere.html"))

    def explorers(*arguments: object) -> tuple[Explorer, ...]:
        given.append(cast("Mapping[str, Sequence[RunTables]]", arguments[3]))
        return pages

    monkeypatch.setattr("mmpkd.study.report.report.write_explorers", explorers)
    _, page = write_report(plan, tmp_path / "out", plan.seeds, outcome.finished, ())
    text = page.read_text()
    assert "Exploratory, on elsewhere: distilled minus baseline" in text
    assert "Arms on the test set: elsewhere" in text
    # the explorer of the other data set is linked at the top and in its section
    assert [len(tables) for tables in given[0].values()] == [4]
    parts = text.split("Arms on the test set")
    links = [re.findall(r'href="(explore[^"]*)"', part) for part in parts]
    assert links == [["explore.html", "explore_elsewhere.html"], ["explore.html"], ["explore_elsewhere.html"]]
    results = pd.read_csv(page.parent / "results.csv", keep_default_na=False)
    assert results.groupby("test_set")["arm"].unique().map(sorted).to_dict() == {
        "": ["baseline", "distilled", "teacher"],
        "elsewhere": ["baseline", "distilled"],
    }
    again = FakeCommandLine()
    assert len(run_all(runs, InThisProcess(again)).finished) == 9
    assert again.calls == []
    (tmp_path / "other.yaml").write_text("class_path: Another\n")
    with pytest.raises(StudyError, match="external/elsewhere to have the settings"):
        run_all(runs, InThisProcess(again))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data: other.yaml", "data: nothing.yaml", "expected a configuration of a data module"),
        ("arms: [baseline, distilled]", "arms: [basline]", "Did you mean 'baseline'"),
        ("arms: [baseline, distilled]", "arms: []", "expected at least one arm"),
        ("--data.root=x", "--model.student=x", "expected overrides of the data only"),
    ],
)
def test_external_data_that_cannot_be_tested_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "other.yaml").write_text("class_path: Other\n")
    path = write_study(tmp_path, (0,), EXTERNAL.replace(old, new))
    with pytest.raises(StudyError, match=message):
        load_plan(path)


def test_another_data_set_has_arms_of_one_domain_and_a_name_of_its_own(tmp_path: Path) -> None:
    """Labels, thresholds and baseline maps of a student are those of its own domain."""
    path = write_factorial_study(tmp_path, "domain", (0,))
    (tmp_path / "other.yaml").write_text("class_path: Other\n")
    text = path.read_text()
    for external, message in (
        ("elsewhere: {data: other.yaml}", "elsewhere: expected arms of one domain but got those of chest and breast"),
        ("elsewhere: {data: other.yaml, arms: [breast_text, chest_text]}", "List the arms of one domain"),
        ("chest: {data: other.yaml, arms: [chest_text]}", "expected a name that no domain has"),
    ):
        path.write_text(f"{text}external: {{{external}}}\n")
        with pytest.raises(StudyError, match=message):
            load_plan(path)
    path.write_text(f"{text}external: {{elsewhere: {{data: other.yaml, arms: [breast_text, breast_baseline]}}}}\n")
    plan = load_plan(path)
    found = external_domain(plan, plan.external[0])
    assert (found.reference, [arm.name for arm in found.students]) == (
        "breast_baseline",
        ["breast_baseline", "breast_text"],
    )


def test_baseline_maps_are_shown_where_the_reference_is_not_tested(tmp_path: Path) -> None:
    """Every arm has them, and no arm needs its reference for them."""
    (tmp_path / "other.yaml").write_text("class_path: Other\n")
    path = write_study(tmp_path, (0,), "external: {elsewhere: {data: other.yaml, arms: [distilled]}}\n")
    plan = load_plan(path)
    runs = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(runs, InThisProcess(FakeCommandLine())).finished
    tables = [read_run(run) for run in finished if run.test_set]
    found = section(plan, external_domain(plan, plan.external[0]), tables, tmp_path)
    assert found is not None
    assert [row.name for row in found.baselines.rows] == ["All-ones map"]


def test_the_time_of_all_runs_has_that_of_tests_on_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.yaml").write_text("class_path: Other\n")
    plan = load_plan(write_study(tmp_path, (0,), EXTERNAL))
    runs = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    tables = [read_run(run) for run in run_all(runs, InThisProcess(FakeCommandLine())).finished]
    monkeypatch.setattr("mmpkd.study.report.provenance.seconds_taken", lambda run: 120.0 if run.test_set else 60.0)
    assert circumstances(tables).minutes == 3 + 2 * 2
