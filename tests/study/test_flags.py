"""Flags that people write are read once; a run is turned into flags once."""

import shlex
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpkd.study.execution.command import RunCommand, first_command, flags_of
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.fold_runs import fold_runs
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.flags import Flag, parse_flags
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.plan.study_plan import check_name
from mmpkd.study.report.provenance import study_command
from tests.study.synthetic import write_study

NAMES = st.sampled_from(["config", "data", "data.batch_size", "seed_everything", "trainer.callbacks+", "x"])
VALUES = st.sampled_from(["0", "-1", "a.yaml", "runs/x y", "{x: 1}", "a=b", "[]"])


@st.composite
def flags(draw: st.DrawFn) -> Flag:
    """A flag in one of the ways to write it."""
    name = draw(NAMES)
    value = draw(st.none() | VALUES)
    if value is None:
        return Flag(name, None, (f"--{name}",))
    return Flag(name, value, draw(st.sampled_from([(f"--{name}={value}",), (f"--{name}", value)])))


@given(st.lists(flags(), max_size=6))
def test_flags_are_read_as_they_were_meant_and_kept_as_they_were_written(written: list[Flag]) -> None:
    words = list(chain.from_iterable(flag.words for flag in written))
    assert parse_flags(words) == tuple(written)


def test_a_word_that_belongs_to_no_flag_is_refused_before_anything_runs() -> None:
    with pytest.raises(StudyError, match=r"'trainer\.max_epochs=2', which belongs to no flag"):
        parse_flags(["--data.batch_size=4", "trainer.max_epochs=2"])


MORE = "external: {elsewhere: {data: other.yaml, arms: [baseline], overrides: [--data.root=x]}}\n"


def planned(folder: Path, *overrides: str) -> list[Run]:
    path = write_study(folder, (0,), MORE)
    (folder / "other.yaml").write_text("class_path: Other\n")
    (folder / "more.yaml").write_text("model: {depth: 2}\n")
    plan = load_plan(path)
    return plan_runs(plan, folder / "out", plan.seeds, overrides)


def test_runs_keep_the_fingerprints_that_they_had_when_they_were_kept_as_flags(tmp_path: Path) -> None:
    """Otherwise a study that was begun then could not go on."""
    data = ("--data.batch_size", "4", "--trainer.max_epochs=2")
    runs = planned(tmp_path, "--config", str(tmp_path / "more.yaml"), *data)
    runs += fold_runs(tmp_path / "teacher.yaml", tmp_path / "targets", 2, ("--data.root=x",))
    assert {run.name: run_fingerprint(run)[:16] for run in runs} == {
        "teacher (seed 0)": "dc1c68335e0294eb",
        "baseline (seed 0)": "6fa832a43d454168",
        "baseline (seed 0) on elsewhere": "f120d3d28f808672",
        "distilled (seed 0)": "a6df63aee5ebe394",
        "fold 0": "28f7e7e84233af44",
        "fold 1": "a55ffd7b7130b000",
    }


@pytest.mark.parametrize("flag", ["--data {}", "--data={}", "--config {}", "--config={}", "-c {}"])
def test_files_that_overrides_name_count_by_their_content(tmp_path: Path, flag: str) -> None:
    """Not by their name: a file that was changed since is another setting, a file that was moved is the same."""
    found = {}
    for name, content in (("a.yaml", "x: 1"), ("moved.yaml", "x: 1  # a remark"), ("changed.yaml", "x: 2")):
        (tmp_path / name).write_text(content)
        found[name] = run_fingerprint(planned(tmp_path, *flag.format(tmp_path / name).split())[0])
    assert found["a.yaml"] == found["moved.yaml"] != found["changed.yaml"]


def test_the_place_of_a_file_among_overrides_counts(tmp_path: Path) -> None:
    """It overrides the flags before it, and is overridden by those after it."""
    (tmp_path / "a.yaml").write_text("data: {init_args: {batch_size: 8}}")
    (tmp_path / "b.yaml").write_text("class_path: Other")
    file, data = f"--config={tmp_path / 'a.yaml'}", f"--data={tmp_path / 'b.yaml'}"
    orders = [(file, "--data.batch_size=4"), ("--data.batch_size=4", file), (file, data), (data, file)]
    assert len({run_fingerprint(planned(tmp_path, *order)[0]) for order in orders}) == 4


def test_a_data_module_that_overrides_name_by_its_class_is_no_file(tmp_path: Path) -> None:
    first, second = (planned(tmp_path, "--data", name)[0] for name in ("TableDataModule", "EMBEDDataModule"))
    assert run_fingerprint(first) != run_fingerprint(second)


def test_a_command_can_be_copied_into_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    for run in planned(folder, "--model.student.options={depth: 2}"):
        words = shlex.split(str(first_command(run)))
        assert words[:2] == ["mmpkd", "test" if run.external else "fit"]
        assert words[2 : 2 + len(flags_of(run))] == flags_of(run)


def test_the_test_of_another_data_set_names_the_checkpoint_of_the_training(tmp_path: Path) -> None:
    _, _, elsewhere, _ = planned(tmp_path)
    checkpoint = tmp_path / "out/baseline/seed0/checkpoints/best.ckpt"
    assert first_command(elsewhere).arguments()[-2:] == ["--ckpt_path", str(checkpoint)]
    command = RunCommand("test", elsewhere, "f" * 64, checkpoint)
    assert command.arguments()[-4:] == ["--run.study", "f" * 64, "--ckpt_path", str(checkpoint)]


def test_figures_are_those_of_the_first_seed_and_change_no_fingerprint(tmp_path: Path) -> None:
    path = write_study(tmp_path, (3, 1))
    plan = load_plan(path)
    runs = {run.name: run for run in plan_runs(plan, tmp_path / "out", plan.seeds, ())}
    without = [name for name, run in runs.items() if "--run.figures" in flags_of(run)]
    assert without == ["baseline (seed 3)", "distilled (seed 3)"]
    alone = {run.name: run for run in plan_runs(plan, tmp_path / "out", (3,), ())}["baseline (seed 3)"]
    assert "--run.figures" not in flags_of(alone)
    assert run_fingerprint(alone) == run_fingerprint(runs["baseline (seed 3)"])


def test_options_of_a_student_go_to_students_and_those_of_an_encoder_to_teachers(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    path.write_text(f"{path.read_text()}\noverrides: [--model.student.compile=true]\n")
    added = [
        "--model.encoder=a.B",
        "--data.batch_size=4",
        "--model.objective.weight=1",
        "--model.teacher.calibrate=true",
    ]
    added.append("--model.objective.init_args.loss.init_args.temperature=2")
    runs = plan_runs(load_plan(path), tmp_path, (0,), added)
    found = {run.arm.name: [flag.name for flag in run.overrides] for run in runs}
    assert found["teacher"] == ["model.encoder", "data.batch_size"]
    assert found["baseline"] == ["model.student.compile", "data.batch_size", "model.objective.weight"]
    assert found["distilled"] == [*found["baseline"], "model.teacher.calibrate", "model.objective.loss.temperature"]


def test_the_command_of_a_report_gives_its_runs_again(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    path.write_text(f"{path.read_text()}\noverrides: [--model.student.compile=true]\n")
    plan = load_plan(path)
    added = [
        "--model.encoder.width=8",
        "--data.batch_size=4",
        "--model.student.linear_probe",
        "true",
        "--model.teacher.calibrate=true",
    ]
    runs = plan_runs(plan, tmp_path, (0,), added)
    words = shlex.split(study_command(plan, (0,), [SimpleNamespace(run=run) for run in runs]))  # type: ignore[misc]
    again = plan_runs(plan, tmp_path, (0,), words[words.index("--") + 1 :])
    assert [run.overrides for run in again] == [run.overrides for run in runs]


def test_an_option_that_no_arm_has_is_refused(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path))
    students = replace(plan, arms=tuple(replace(arm, teacher=None) for arm in plan.students))
    for flag, who in (
        ("--model.encoder.width=8", "teachers"),
        ("--model.teacher.calibrate=true", "distilled students"),
    ):
        with pytest.raises(
            StudyError, match=f"^Expected flags that an arm of the study has but got {flag}, which is for {who}"
        ):
            plan_runs(students, tmp_path, (0,), [flag])


@pytest.mark.parametrize("name", ["report", "slurm", "shared_images", "lock"])
def test_an_arm_is_not_called_like_what_a_study_writes(name: str) -> None:
    with pytest.raises(StudyError, match=f"but got '{name}'"):
        check_name(name)
