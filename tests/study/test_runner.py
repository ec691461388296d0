"""Which runs a study makes, in which order, and which it keeps."""

import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mmpkd.commands.study import main
from mmpkd.records import RunFolder
from mmpkd.study.execution.command import RunCommand, flags_of
from mmpkd.study.execution.engines import InThreads
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.processes import locked
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, planned, write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_study(tmp_path)
    return tmp_path


def test_the_teacher_is_trained_once_and_first_and_every_arm_for_every_seed(study: Path) -> None:
    command = FakeCommandLine()
    outcome = run_all(planned(study), InThisProcess(command))
    expected = [("teacher", "0"), ("baseline", "0"), ("distilled", "0"), ("baseline", "1"), ("distilled", "1")]
    assert command.commands() == [(verb, *run) for run in expected for verb in ("fit", "test")]
    assert len(outcome.finished) == 5
    assert not outcome.failed


def test_a_student_waits_for_the_one_on_its_teacher_card_wherever_it_is_listed(study: Path) -> None:
    path = study / "study.yaml"
    text = path.read_text()
    (baseline,) = [line for line in text.splitlines(keepends=True) if line.startswith("  baseline:")]
    path.write_text(text.replace(baseline, "").replace("primary:", f"{baseline}primary:"))
    runs = planned(study)
    assert [run.arm.name for run in runs] == ["teacher", *["distilled", "baseline"] * 2]
    command = FakeCommandLine()
    assert not run_all(runs, InThisProcess(command)).failed
    fits = [run for verb, *run in command.commands() if verb == "fit"]
    assert fits[:3] == [["teacher", "0"], ["baseline", "0"], ["distilled", "0"]]
    references = {run.reference for run in runs if run.arm.name == "distilled"}
    assert references == {study / "out" / "baseline" / "seed0"}


def test_students_get_the_teachers_best_checkpoint_and_only_they(study: Path) -> None:
    by_arm = {run.arm.name: flags_of(run) for run in planned(study, "--trainer.max_epochs=2")}
    teacher = str(study / "out" / "teacher" / "seed0" / "checkpoints" / "best.ckpt")
    assert by_arm["distilled"][by_arm["distilled"].index("--model.teacher") + 1] == teacher
    assert "--model.teacher" not in by_arm["baseline"]
    assert all(flags[-1] == "--trainer.max_epochs=2" for flags in by_arm.values())


def test_an_arm_can_be_trained_alike_by_other_seeds(study: Path) -> None:
    path = study / "study.yaml"
    path.write_text(
        path.read_text().replace("baseline.yaml, role: student", "baseline.yaml, role: student, seed_offset: 1000")
    )
    flags = {run.name: flags_of(run) for run in planned(study)}
    assert flags["baseline (seed 1)"][-2:] == ["--seed_everything", "1001"]
    assert "1001" not in flags["distilled (seed 1)"]
    path.write_text(path.read_text().replace("1000", "-1"))
    with pytest.raises(StudyError, match="`seed_offset` to be an integer >= 0"):
        planned(study)


def test_finished_runs_are_kept(study: Path) -> None:
    run_all(planned(study), InThisProcess(FakeCommandLine()))
    again = FakeCommandLine()
    assert len(run_all(planned(study), InThisProcess(again)).finished) == 5
    assert again.calls == []


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(study: Path) -> None:
    class Interrupted(FakeCommandLine):
        def __call__(self, command: RunCommand) -> None:
            super().__call__(command)
            if self.commands()[-1][:2] == ("fit", "baseline"):
                RunFolder(study / "out" / "baseline" / "seed0").update(status="training", training=None)
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(planned(study), InThisProcess(Interrupted()))
    command = FakeCommandLine()
    run_all(planned(study), InThisProcess(command))
    assert command.commands()[0] == ("fit", "baseline", "0")
    last = str(study / "out" / "baseline" / "seed0" / "checkpoints" / "last.ckpt")
    assert command.calls[0][-2:] == ["--ckpt_path", last]


def test_a_trained_run_that_was_not_tested_is_only_tested(study: Path) -> None:
    class Stopped(FakeCommandLine):
        def __call__(self, command: RunCommand) -> None:
            if command.verb == "test":
                raise SystemExit(143)
            super().__call__(command)

    with pytest.raises(SystemExit):
        run_all(planned(study), InThisProcess(Stopped()))
    command = FakeCommandLine()
    run_all(planned(study), InThisProcess(command))
    assert command.commands()[0] == ("test", "teacher", "0")


def test_a_run_without_the_record_of_its_test_is_tested_again(study: Path) -> None:
    run_all(planned(study), InThisProcess(FakeCommandLine()))
    RunFolder(study / "out" / "baseline" / "seed1").update(test=None)
    command = FakeCommandLine()
    assert len(run_all(planned(study), InThisProcess(command)).finished) == 5
    assert command.commands() == [("test", "baseline", "1")]


def test_a_failed_arm_is_reported_and_the_others_go_on(study: Path) -> None:
    outcome = run_all(planned(study), InThisProcess(FakeCommandLine(fail=["baseline"])))
    assert {run.arm.name for run in outcome.finished} == {"teacher", "distilled"}
    assert [failed.reason for failed in outcome.failed] == ["RuntimeError: baseline broke"] * 2
    assert "baseline broke" in (study / "out" / "baseline" / "seed0" / "error.log").read_text()


def test_students_of_a_failed_teacher_are_skipped_with_the_reason(study: Path) -> None:
    command = FakeCommandLine(fail=["teacher"])
    outcome = run_all(planned(study), InThisProcess(command))
    assert {run.arm.name for run in outcome.finished} == {"baseline"}
    assert (
        "teacher (seed 0) failed" in {failed.run.name: failed.reason for failed in outcome.failed}["distilled (seed 1)"]
    )
    assert not any(arm == "distilled" for _, arm, _ in command.commands())


@pytest.mark.parametrize("change", ["flag", "file", "included file"])
def test_finished_runs_of_other_settings_are_refused_before_anything_starts(study: Path, change: str) -> None:
    run_all(planned(study), InThisProcess(FakeCommandLine()))
    flags = ["--data.batch_size=4"] if change == "flag" else []
    if change != "flag":
        name = "baseline.yaml" if change == "file" else "data.yaml"
        (study / name).write_text((study / name).read_text() + "y: 2\n")
    command = FakeCommandLine()
    with pytest.raises(StudyError, match="they changed since"):
        run_all(planned(study, *flags), InThisProcess(command))
    assert command.calls == []


def test_the_flags_that_finished_runs_were_made_with_are_named(study: Path) -> None:
    made = ["--data.batch_size=4", "--trainer.max_epochs=3"]
    run_all(planned(study, *made), InThisProcess(FakeCommandLine()))
    for given, words in (
        ([], f"with {made[0]} {made[1]}:"),
        ([*made, "--data.seed=1"], "without --data.seed=1:"),
        ([made[0], "--trainer.max_epochs=9"], f"with {made[1]} and without --trainer.max_epochs=9:"),
    ):
        with pytest.raises(StudyError, match=f"It was made {re.escape(words)} repeat the command with the same flags"):
            run_all(planned(study, *given), InThisProcess(FakeCommandLine()))


def test_comments_and_other_ways_to_write_the_folder_leave_finished_runs_valid(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(planned(study), InThisProcess(FakeCommandLine()))
    config = study / "baseline.yaml"
    config.write_text("# a remark\n" + config.read_text())
    monkeypatch.chdir(study)
    plan = load_plan(Path("study.yaml"))
    again = FakeCommandLine()
    assert len(run_all(plan_runs(plan, Path("out"), plan.seeds, ()), InThisProcess(again)).finished) == 5
    assert again.calls == []


def test_an_interrupted_run_is_not_continued_with_other_settings(study: Path) -> None:
    class Stopped(FakeCommandLine):
        def __call__(self, command: RunCommand) -> None:
            super().__call__(command)
            if self.commands()[-1][:2] == ("fit", "baseline"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(planned(study), InThisProcess(Stopped()))
    (study / "baseline.yaml").write_text((study / "baseline.yaml").read_text() + "y: 2\n")
    command = FakeCommandLine()
    with pytest.raises(StudyError, match=r"the interrupted run in .*baseline/seed0 .*they changed since"):
        run_all(planned(study), InThisProcess(command))
    assert command.calls == []


def test_a_run_that_the_study_did_not_make_is_refused(study: Path) -> None:
    checkpoints = study / "out" / "baseline" / "seed0" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "best.ckpt").write_text("made by `mmpkd fit`, with whatever flags")
    RunFolder(checkpoints.parent).update(status="trained")
    command = FakeCommandLine()
    with pytest.raises(StudyError, match="holds checkpoints of a run with unknown settings"):
        run_all(planned(study), InThisProcess(command))
    assert command.calls == []


def test_a_failed_run_is_tried_again(study: Path) -> None:
    run_all(planned(study), InThisProcess(FakeCommandLine(fail=["baseline"])))
    outcome = run_all(planned(study), InThisProcess(FakeCommandLine()))
    assert len(outcome.finished) == 5
    assert not (study / "out" / "baseline" / "seed0" / "error.log").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [0, 1]", "sead: [0]", "Did you mean 'seeds'"),
        ("teacher: teacher}", "teacher: teachr}", "Did you mean 'teacher'"),
        ("distill.yaml", "nothing.yaml", "expected configuration files"),
        ("seeds: [0, 1]", "seeds: [0, 0]", "different integers"),
        ("reference: baseline", "reference: distilled", "two different arms"),
        ("arm: distilled,", "arm: distiled,", "Did you mean 'distilled'"),
        ("notes:", "overrides: ['--run.dir=x']\nnotes:", "the study sets --run.dir itself"),
    ],
)
def test_mistakes_in_a_study_are_explained(study: Path, old: str, new: str, message: str) -> None:
    path = study / "study.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StudyError, match=message):
        load_plan(path)


def test_runs_side_by_side_keep_their_order_of_building_on_each_other(study: Path) -> None:
    """At most two at a time; a student starts after its teacher, and after the baseline that its card compares with."""
    running: set[Path] = set()
    order: list[str] = []
    most = 0

    class Slow(FakeCommandLine):
        def __call__(self, command: RunCommand) -> None:
            nonlocal most
            folder = command.run.folder
            running.add(folder)
            most = max(most, len(running))
            time.sleep(0.05)
            super().__call__(command)
            order.append("/".join(folder.parts[-2:]))
            running.discard(folder)

    runs = planned(study)
    with InThreads(Slow(), 2) as engine:
        outcome = run_all(runs, engine)
    assert most == 2
    assert outcome.finished == tuple(runs)
    for seed in (0, 1):
        first = {name: order.index(f"{name}/seed{seed}") for name in ("baseline", "distilled")}
        assert first["distilled"] > max(first["baseline"], order.index("teacher/seed0"))
    again = FakeCommandLine()
    with InThreads(again, 2) as engine:
        assert run_all(runs, engine).finished == tuple(runs)
    assert again.calls == []


def test_a_failure_beside_others_stops_only_what_builds_on_it(study: Path) -> None:
    with InThreads(FakeCommandLine(fail=["teacher"]), 3) as engine:
        outcome = run_all(planned(study), engine)
    assert [run.name for run in outcome.finished] == ["baseline (seed 0)", "baseline (seed 1)"]
    reasons = {failed.run.name: failed.reason for failed in outcome.failed}
    assert "teacher broke" in reasons["teacher (seed 0)"]
    assert reasons["distilled (seed 1)"].startswith("teacher (seed 0) failed")


def test_a_folder_is_for_one_study_at_a_time(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(study / "out"):
        assert main([str(study / "study.yaml"), "--out", str(study / "out")]) == 2
    assert "a study is running in it" in capsys.readouterr().err


def test_windows_is_told_what_to_do(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert main([str(study / "study.yaml")]) == 2
    assert "On Windows, run it in WSL" in capsys.readouterr().err


def test_the_plan_refuses_what_the_study_would_refuse(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_all(planned(study), InThisProcess(FakeCommandLine()))
    arguments = [str(study / "study.yaml"), "--out", str(study / "out"), "--dry-run"]
    assert main(arguments) == 0
    assert main([*arguments, "--", "--trainer.max_epochs=3"]) == 2
    assert "they changed since: flags" in capsys.readouterr().err


def test_the_plan_says_what_is_left_and_what_it_will_take(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = planned(study)
    run_all(runs, InThisProcess(FakeCommandLine()))
    for name in ("distilled/seed1", "baseline/seed1"):
        shutil.rmtree(study / "out" / name)
    for name, seconds in (("baseline", 60.0), ("distilled", 180.0)):
        folder = RunFolder(study / "out" / name / "seed0")
        assert folder.state is not None
        assert folder.state.study is not None
        folder.update(study=replace(folder.state.study, seconds=seconds))
    arguments = [str(study / "study.yaml"), "--out", str(study / "out"), "--dry-run"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 finished, 2 to do, about 4 min for 2 of them, in all"
    assert main([*arguments, "--jobs", "2"]) == 0
    assert "about 2 min for 2 of them, 2 at a time" in capsys.readouterr().out
    assert main([*arguments, "--jobs", "0"]) == 2
