"""Arms that are compared are made alike, or the study says what they may differ in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpkd.commands.study import main
from mmpkd.records import Lineage, TrainingRecord
from mmpkd.records.code_hash import code_hash
from mmpkd.study.analysis.conclusions import conclude
from mmpkd.study.analysis.run_tables import read_run, unlike
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.likeness import Likeness, Trait, budget_of, compared_arms, different
from mmpkd.study.execution.run import Run
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.declaration import allowed_since, declare, is_as_declared
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.headline import headline
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, planned, write_factorial_study, write_study

ARM = "{config: distill.yaml, role: student, teacher: teacher"
Change = Callable[[Run], None]


def allow(folder: Path, aspects: str) -> None:
    path = folder / "study.yaml"
    path.write_text(path.read_text().replace(ARM, f"{ARM}, may_differ_in: [{aspects}]"))


def made_by_other_code(run: Run) -> None:
    run.record.update(made_from=Lineage("abc", "1", None, None, {"train": "e" * 64}, code="f" * 64))


def trained_on_other_data(run: Run) -> None:
    run.record.update(made_from=Lineage("abc", "1", None, None, {"train": "a" * 64}, code_hash()))


def trained_for_longer(run: Run) -> None:
    run.record.update(training=TrainingRecord(epochs=2, steps=99, seconds=1.0))


CHANGES = {"code": made_by_other_code, "data": trained_on_other_data, "budget": trained_for_longer}


class OneArmDiffers(FakeCommandLine):
    """Records something else about the trainings of one arm."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def __call__(self, command: RunCommand) -> None:
        super().__call__(command)
        if command.verb == "test" and command.run.arm.name == "distilled":
            self.change(command.run)


@pytest.mark.parametrize("aspect", CHANGES)
def test_arms_that_turn_out_unlike_are_refused_before_the_next_run(aspect: str, tmp_path: Path) -> None:
    write_study(tmp_path)
    plan, runs = load_plan(tmp_path / "study.yaml"), planned(tmp_path)
    command = OneArmDiffers(CHANGES[aspect])
    with pytest.raises(StudyError, match=f"to have the same {aspect} but got, for seed 0, ") as error:
        run_all(runs, InThisProcess(command), Likeness(plan, runs))
    assert "\n" not in str(error.value)
    assert f"write `may_differ_in: [{aspect}]` in arms.distilled" in str(error.value)
    # the first pair of runs has told; those of the second seed never began
    assert [own for own in command.commands() if own[2] == "1"] == []
    allow(tmp_path, aspect)
    outcome = run_all(runs, InThisProcess(command), Likeness(load_plan(tmp_path / "study.yaml"), runs))
    assert len(outcome.finished) == 5


def test_a_report_of_unlike_arms_is_refused_until_the_study_allows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(tmp_path, (0,))
    out = tmp_path / "out"
    plan = load_plan(path)
    declare(plan, out, plan.seeds)
    run_all(planned(tmp_path), InThisProcess(OneArmDiffers(made_by_other_code)))
    arguments = [str(path), "--out", str(out), "--report-only"]
    assert main(arguments) == 2
    assert "Finished runs are kept" in capsys.readouterr().err
    allow(tmp_path, "code")
    assert main(arguments) == 0
    assert "Distilled and baseline also differ in code." in capsys.readouterr().out
    # the question is the declared one, and the page says what was added
    assert is_as_declared(load_plan(path), out)
    page = (out / "report" / "index.html").read_text()
    assert "`may_differ_in` was added after the study had been declared: distilled (code)." in page
    assert "the result is exploratory" not in page


def test_only_what_is_allowed_later_is_told(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    allow(tmp_path, "data")
    plan = load_plan(path)
    assert allowed_since(plan, tmp_path) == {}
    declare(plan, tmp_path, plan.seeds)
    assert allowed_since(plan, tmp_path) == {}
    path.write_text(path.read_text().replace("[data]", "[data, budget]"))
    assert allowed_since(load_plan(path), tmp_path) == {"distilled": ["budget"]}


@pytest.mark.parametrize(
    "key", ["max_epochs: 2", "limit_train_batches: 4", "max_steps: 7", "max_time: 01:00:00:00", "overfit_batches: 3"]
)
@pytest.mark.parametrize("how", ["dry run", "run"])
def test_another_budget_is_refused_before_the_first_run(
    how: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(tmp_path)
    distill = tmp_path / "distill.yaml"
    distill.write_text(f"{distill.read_text()}trainer: {{{key}}}\n")
    arguments = [str(path), "--out", str(tmp_path / "out"), *(["--dry-run"] if how == "dry run" else [])]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    name, value = key.split(": ")
    assert f"the same budget but got, for seed 0, trainer.{name} {value} and" in said
    assert not (tmp_path / "out" / "declared.json").exists()
    allow(tmp_path, "budget")
    assert main([str(path), "--out", str(tmp_path / "out"), "--dry-run"]) == 0


def test_the_batch_size_of_a_data_file_or_a_flag_belongs_to_the_budget(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    (tmp_path / "data.yaml").write_text("class_path: Data\ninit_args: {batch_size: 8}\n")
    plan, runs = load_plan(path), planned(tmp_path)
    Likeness(plan, runs).check()
    (tmp_path / "distill.yaml").write_text("data: {init_args: {batch_size: 16}}\n")
    with pytest.raises(StudyError, match=r"data\.batch_size 16 and 8"):
        Likeness(plan, runs).check()
    (tmp_path / "other.yaml").write_text("class_path: Data\ninit_args: {batch_size: 8}\n")
    Likeness(plan, planned(tmp_path, "--data", str(tmp_path / "other.yaml"))).check()
    Likeness(plan, planned(tmp_path, "--data.init_args.batch_size=4")).check()


@pytest.mark.parametrize(
    ("baseline", "distilled"),
    [
        ("trainer: {max_epochs: 3}", "trainer: three.yaml"),
        ("trainer: {max_epochs: 3}", "trainer: {max_epochs: 3, devices: 2}"),  # the other may have two as well
        ("trainer: {max_epochs: null, overfit_batches: 0}", "trainer: {limit_train_batches: 1.0}"),
        ("trainer: {devices: [0]}", "trainer: {devices: [1]}"),
        ("trainer:", "data: {class_path: Data, init_args: }"),
    ],
)
def test_the_same_budget_in_other_words_is_not_refused(baseline: str, distilled: str, tmp_path: Path) -> None:
    path = write_study(tmp_path)
    (tmp_path / "three.yaml").write_text("max_epochs: 3\n")
    for name, text in (("baseline", baseline), ("distill", distilled)):
        (tmp_path / f"{name}.yaml").write_text(f"{text}\n")
    Likeness(load_plan(path), planned(tmp_path)).check()


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--trainer.max_epochs=2", "--config=FOLDER/three.yaml"], "3"),
        (["--config=FOLDER/three.yaml", "--trainer.max_epochs=2"], "2"),
        (["--trainer={max_epochs: 4}"], "4"),
        (["--config=FOLDER/three.yaml", "--trainer.max_epochs=null"], "Lightning's default"),
        (["--trainer.max_epochs=["], "["),
    ],
)
def test_the_last_of_files_and_flags_wins(flags: list[str], value: str, tmp_path: Path) -> None:
    write_study(tmp_path)
    (tmp_path / "three.yaml").write_text("trainer: {max_epochs: 3}\n")
    runs = planned(tmp_path, *[flag.replace("FOLDER", str(tmp_path)) for flag in flags])
    assert {budget_of(run)["trainer.max_epochs"].value for run in runs} == {value}


def test_other_numbers_of_devices_are_another_budget(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    for name, devices in (("baseline", 1), ("distill", 2)):
        (tmp_path / f"{name}.yaml").write_text(f"trainer: {{devices: {devices}}}\n")
    with pytest.raises(StudyError, match=r"trainer\.devices 2 and 1"):
        Likeness(load_plan(path), planned(tmp_path)).check()


def test_the_list_to_write_keeps_what_is_allowed_already(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    allow(tmp_path, "code")
    (tmp_path / "distill.yaml").write_text("trainer: {max_epochs: 2}\n")
    with pytest.raises(StudyError, match=r"the same budget but .* write `may_differ_in: \[budget, code\]`"):
        Likeness(load_plan(path), planned(tmp_path)).check()


def test_other_training_data_are_refused_before_the_first_run(tmp_path: Path) -> None:
    plan, runs = load_plan(write_study(tmp_path)), planned(tmp_path)
    read = {run.folder: run.arm.name for run in runs}
    with pytest.raises(StudyError, match="training split to be read distilled and baseline"):
        Likeness(plan, runs, read).check()
    Likeness(plan, runs, dict.fromkeys(read, "the same")).check()
    # what is unknown of one is no reason to refuse
    Likeness(plan, runs, {run.folder: "a" for run in runs if run.arm.name == "baseline"}).check()


def test_code_that_changed_is_refused_before_the_next_run(tmp_path: Path) -> None:
    """The runs of one arm are finished; the other one would be made by the present code."""
    plan, runs = load_plan(write_study(tmp_path)), planned(tmp_path)
    run_all([run for run in runs if run.arm.name != "distilled"], InThisProcess(FakeCommandLine()))
    for run in runs:
        if run.arm.name == "baseline":
            made_by_other_code(run)
    command = FakeCommandLine()
    with pytest.raises(StudyError, match=f"code {code_hash()[:12]} and f{{12}}"):
        run_all(runs, InThisProcess(command), Likeness(plan, runs))
    assert command.calls == []
    # seeds are compared with each other: a study that goes on with more seeds has pairs of one code each
    for run in runs:
        if run.arm.name == "distilled" and run.seed == 0:
            FakeCommandLine()(RunCommand("fit", run))
            made_by_other_code(run)
        if run.arm.name == "baseline" and run.seed == 1:
            run.record.update(training=None)
    # the interrupted run has made a part of its training with the other code, unless it left nothing to resume from
    with pytest.raises(StudyError, match=f"code {code_hash()[:12]} and f{{12}} then {code_hash()[:12]}"):
        Likeness(plan, runs).check()
    (tmp_path / "out" / "baseline" / "seed1" / "checkpoints" / "last.ckpt").unlink()
    Likeness(plan, runs).check()


def test_a_training_that_was_resumed_with_other_code_is_unlike_one_that_was_not(tmp_path: Path) -> None:
    plan, runs = load_plan(write_study(tmp_path, (0,))), planned(tmp_path)
    run_all(runs, InThisProcess(FakeCommandLine()))
    Likeness(plan, runs).check()
    made_from = Lineage("abc", "1", None, None, {"train": "e" * 64}, code_hash(), None, ("f" * 64, "a" * 64))
    runs[2].record.update(made_from=made_from)
    with pytest.raises(
        StudyError, match=f"seed 0, code f{{12}} then a{{12}} then {code_hash()[:12]} and {code_hash()[:12]}"
    ):
        Likeness(plan, runs).check()
    # two runs that were interrupted by the same change are alike
    runs[1].record.update(made_from=made_from)
    Likeness(plan, runs).check()


@pytest.mark.parametrize("where", ["", " on other"])
def test_arms_that_were_tested_by_other_code_are_refused_and_named(where: str, tmp_path: Path) -> None:
    """As after a kill between training and test, or with a test that was made again."""
    (tmp_path / "other.yaml").write_text("x: 1\n")
    more = "external: {other: {data: other.yaml, arms: [baseline, distilled]}}\n"
    plan, runs = load_plan(write_study(tmp_path, (0,), more)), planned(tmp_path)
    run_all(runs, InThisProcess(FakeCommandLine()))
    pair = [run for run in runs if run.arm.role == "student" and run.test_set == where[4:]]
    assert len(pair) == 2
    for run, code in zip(pair, (code_hash(), "f" * 64), strict=True):
        state = run.record.state
        assert state is not None
        assert state.test is not None
        run.record.update(test=replace(state.test, code=code))
    with pytest.raises(StudyError, match=f"for seed 0{where}, code of the test f{{12}} and {code_hash()[:12]}"):
        Likeness(plan, runs).check()
    baseline, distilled = map(read_run, pair)
    assert unlike([distilled], [baseline]) == ("code",)
    # one that is tested again is tested by the present code
    pair[1].record.update(status="trained")
    Likeness(plan, runs).check()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (ARM, f"{ARM}, may_differ_in: [cod]", "`may_differ_in` to be a list of data, code, budget but got"),
        (ARM, f"{ARM}, may_differ_in: ", "`may_differ_in` to be a list of data, code, budget but it is empty"),
        (ARM, f"{ARM}, overrides: ", "`overrides` to be a list of text but it is empty"),
        (ARM, f"{ARM}, may_difer_in: [code]", "Did you mean 'may_differ_in'"),
        ("role: teacher", "role: teacher, may_differ_in: [code]", "a teacher without `may_differ_in`"),
    ],
)
def test_a_misspelt_permission_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = write_study(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StudyError, match=message):
        load_plan(path)


def test_every_arm_is_compared_with_the_reference_of_its_domain_and_within_the_family(tmp_path: Path) -> None:
    family = "family: [{arm: baseline, reference: distilled}]\n"
    plan = load_plan(write_study(tmp_path / "plain", more=family))
    names = [(arm.name, reference.name) for arm, reference in compared_arms(plan)]
    assert names == [("distilled", "baseline"), ("baseline", "distilled")]
    square = load_plan(write_factorial_study(tmp_path / "square", "domain"))
    pairs = {(arm.name, reference.name) for arm, reference in compared_arms(square)}
    assert pairs == {(f"{own}_{form}", f"{own}_baseline") for own in ("chest", "breast") for form in ("text", "table")}


values = st.none() | st.sampled_from("abc")


@given(st.lists(st.tuples(values, values), max_size=4))
def test_only_what_is_known_of_both_can_differ(pairs: list[tuple[str | None, str | None]]) -> None:
    one, other = ({str(n): Trait("code", pair[own]) for n, pair in enumerate(pairs)} for own in (0, 1))
    expected = [str(n) for n, (a, b) in enumerate(pairs) if a is not None and b is not None and a != b]
    assert different(one, other) == expected


def test_a_contrast_names_what_the_arms_behind_it_differ_in(tmp_path: Path) -> None:
    plan = load_plan(write_factorial_study(tmp_path, "form", (0, 1)))
    runs = planned(tmp_path)
    finished = run_all(runs, InThisProcess(FakeCommandLine()), Likeness(plan, runs)).finished
    for run in finished:
        if run.arm.name == "chest_table":
            made_by_other_code(run)
    lines = headline(conclude(plan, [read_run(run) for run in finished]))
    assert "Chest_table and chest_baseline also differ in code." in lines


def test_what_trainings_differ_in_is_told_of_tests_on_another_data_set_as_well(tmp_path: Path) -> None:
    """The record of such a test says nothing about the training."""
    (tmp_path / "other.yaml").write_text("class_path: Other\n")
    write_study(tmp_path, (0,), "external: {elsewhere: {data: other.yaml}}\n")
    finished = run_all(planned(tmp_path), InThisProcess(OneArmDiffers(made_by_other_code))).finished
    tables = {run.arm.name: read_run(run) for run in finished if run.test_set}
    assert unlike([tables["distilled"]], [tables["baseline"]]) == ("code",)
