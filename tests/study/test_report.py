import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mmpkd.commands.study import main
from mmpkd.records.tables import write_table
from mmpkd.study.conclusions import conclude
from mmpkd.study.declaration import declare
from mmpkd.study.engines import InThisProcess
from mmpkd.study.hypotheses import equivalence_p_value, holm
from mmpkd.study.plan import StudyError
from mmpkd.study.plan_file import load_plan
from mmpkd.study.report import write_report
from mmpkd.study.results import read_run
from mmpkd.study.runner import plan_runs, run_all
from tests.study.synthetic import FakeCommandLine, write_factorial_study, write_run, write_study


class Page(HTMLParser):
    """Collects what a page refers to, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [
            value or "" for name, value in attrs if name in ("src", "href") and tag in ("img", "script", "link", "a")
        ]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(folder: Path, effect: float, seeds: tuple[int, ...]) -> tuple[str, str, Path]:
    plan = load_plan(write_study(folder, seeds))
    runs = plan_runs(plan, folder / "out", plan.seeds, ())
    declare(plan, folder / "out", plan.seeds)
    outcome = run_all(runs, InThisProcess(FakeCommandLine(effect=effect)))
    sentence, path = write_report(plan, folder / "out", plan.seeds, outcome.finished, outcome.failed)
    return sentence, path.read_text(), path


@pytest.mark.parametrize(
    ("effect", "seeds", "expected"),
    [
        (0.1, (0, 1, 2, 3, 4), "Distilled localizes better than baseline"),
        (-0.1, (0, 1, 2, 3, 4), "Distilled localizes worse than baseline"),
        (0.0006, (0, 1, 2, 3, 4), "No difference in localization"),
        (0.1, (0, 1), "Fewer than 5 seeds"),
        (0.1, (0,), "one training run is no evidence about the method"),
    ],
)
def test_the_sentence_says_what_was_seen_and_no_more(
    effect: float, seeds: tuple[int, ...], expected: str, tmp_path: Path
) -> None:
    sentence, page, _ = report(tmp_path, effect, seeds)
    assert expected in sentence
    assert expected in page
    found = re.search(r"([+-]\d\.\d{3}) \(95 % interval ([+-]\d\.\d{3}) to ([+-]\d\.\d{3})\)", sentence)
    assert found is not None
    estimate, low, high = map(float, found.groups())
    assert estimate == pytest.approx(effect, abs=0.01)
    assert low <= estimate <= high
    assert "79 ROIs" in sentence or "80 ROIs" in sentence


def test_the_sentence_says_when_an_arm_does_not_beat_a_trivial_map(tmp_path: Path) -> None:
    good, _, _ = report(tmp_path / "good", 0.1, (0,))
    assert "distilled 0.4" in good
    assert "best trivial map (all-ones map) 0.0" in good
    assert "did not beat" not in good
    bad, _, _ = report(tmp_path / "bad", -0.4, (0,))
    assert bad.endswith("Distilled did not beat a map that sees no student.")


def test_report_only_refuses_runs_of_other_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(tmp_path, 0.1, (0, 1))
    arguments = [str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--report-only"]
    assert main(arguments) == 0
    (tmp_path / "baseline.yaml").write_text((tmp_path / "baseline.yaml").read_text() + "y: 2\n")
    assert main(arguments) == 2
    assert "they changed since" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["other checkpoint", "half"])
def test_a_table_of_another_checkpoint_or_half_of_one_is_refused(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(tmp_path, 0.1, (0, 1))
    path = tmp_path / "out" / "distilled" / "seed1" / "roi_test.parquet"
    if damage == "half":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        write_table(pd.read_parquet(path), path, "0" * 64)
    arguments = [str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--report-only"]
    assert main(arguments) == 2
    said = {
        "half": "but it is damaged",
        "other checkpoint": "was made with another checkpoint. Test the run again: mmpkd test",
    }
    assert said[damage] in capsys.readouterr().err


def test_an_interrupted_study_ends_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmpkd.study.data_check.check_data_of", interrupt)
    assert main([str(write_study(tmp_path, (0,))), "--out", str(tmp_path / "out")]) == 130
    assert "goes on where it stopped" in capsys.readouterr().err


def test_a_single_finding_is_not_reported_twice(tmp_path: Path) -> None:
    _, page, _ = report(tmp_path, 0.1, (0, 1))
    assert "<td>all</td>" in page
    assert "<td>Mass</td>" not in page


def test_the_page_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    _, text, path = report(tmp_path, 0.1, (0, 1))
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.sources) == 4  # two images in two arms
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "A note with &lt;angle&gt; brackets." in text
    assert "All-ones map" in text
    assert path.stat().st_size < 2_000_000


def test_results_csv_has_every_score_of_every_run(tmp_path: Path) -> None:
    _, _, path = report(tmp_path, 0.1, (0, 1))
    results = pd.read_csv(path.parent / "results.csv")
    rois = pd.read_parquet(tmp_path / "out" / "distilled" / "seed1" / "roi_test.parquet")
    own = rois[rois["attribution"] == "rollout"]["iou_top_area"]
    row = results.query("arm == 'distilled' and seed == 1 and measure == 'iou_top_area' and attribution == 'rollout'")
    overall = row[row["finding"] == "all"].iloc[0]
    assert overall["value"] == pytest.approx(own.mean())
    assert overall["num"] == 79
    assert overall["num_undefined"] == 1
    assert overall["chance"] == pytest.approx(0.05)  # the area of every ROI
    predictions = pd.read_parquet(tmp_path / "out" / "teacher" / "seed0" / "predictions_test.parquet")
    positive = predictions["target/Mass"] == 1
    pairs = np.subtract.outer(
        predictions.loc[positive, "probability/Mass"].to_numpy(),
        predictions.loc[~positive, "probability/Mass"].to_numpy(),
    )
    auprc = results.query("arm == 'teacher' and measure == 'auprc' and finding == 'Mass'")["chance"].iloc[0]
    assert auprc == pytest.approx(positive.mean())
    teacher = results.query("arm == 'teacher' and measure == 'auroc' and finding == 'Mass'")["value"].iloc[0]
    assert teacher == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_failed_runs_are_in_the_report_and_nothing_finished_is_an_error(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path))
    runs = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    outcome = run_all(runs, InThisProcess(FakeCommandLine(fail=["distilled"])))
    sentence, path = write_report(plan, tmp_path / "out", plan.seeds, outcome.finished, outcome.failed)
    assert sentence == "No answer yet: no finished run of distilled."
    assert "distilled broke" in path.read_text()
    with pytest.raises(StudyError, match="none; 5 failed"):
        write_report(plan, tmp_path / "other", plan.seeds, [], [(run, "x") for run in runs])


def test_the_command_prints_a_plan_and_explains_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path)
    arguments = [str(path), "--out", str(tmp_path / "out"), "--seeds", "3", "--dry-run", "--", "--data.batch_size=2"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("--data.batch_size=2" in line for line in lines[:3])
    assert lines[3] == "0 finished, 3 to do; what they take is known once runs are finished"
    assert "--seed_everything 3" in lines[1]
    assert not (tmp_path / "out").exists()
    assert main([str(tmp_path / "nothing.yaml")]) == 2
    assert "Expected a study file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_runs_through_the_real_command_line(tiny_root: Path, tmp_path: Path) -> None:
    from tests.runs import config, data, student, text_teacher

    monitor = [
        {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"},
        {"class_path": "mmpkd.callbacks.attribution_maps.AttributionMapLogger", "init_args": {"num_images": 2}},
    ]
    write_study(tmp_path, (0,), "external: {elsewhere: {data: other.yaml, arms: [baseline, distilled]}}\n")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(data(tiny_root, num_workers=0)))
    config(tmp_path, "teacher", tiny_root, text_teacher())
    for name in ("baseline", "distill"):
        config(tmp_path, name, tiny_root, student(), trainer={"callbacks": monitor})
    assert main([str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "one training run is no evidence" in text
    assert text.count("data:image/png") >= 2
    # the same images elsewhere: the same predictions
    own, elsewhere = (
        pd.read_parquet(tmp_path / "out" / "distilled" / "seed0" / part / "predictions_test.parquet")
        for part in (".", "external/elsewhere")
    )
    pd.testing.assert_frame_equal(own, elsewhere)
    assert "Exploratory, on elsewhere" in text
    assert not (tmp_path / "out" / "distilled" / "seed0" / "external" / "elsewhere" / "checkpoints").exists()
    assert main([str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--report-only"]) == 0


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
    what = "ROIs" if table == "roi_test" else "images or labels"
    with pytest.raises(StudyError, match=f"Expected the same test {what} in "):
        write_report(plan, tmp_path / "out", plan.seeds, finished, ())


@pytest.mark.parametrize(("license_name", "shown"), [("synthetic", True), ("credentialed", False)])
def test_the_gallery_names_no_credentialed_image(tmp_path: Path, license_name: str, shown: bool) -> None:
    plan = load_plan(write_study(tmp_path))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    for run in finished:
        state = run.record.state
        assert state is not None
        assert state.test is not None
        run.record.update(test=replace(state.test, license=license_name))
    page = write_report(plan, tmp_path / "out", plan.seeds, finished, ())[1].read_text()
    assert ("s001" in page) is shown
    assert ("Image 2" in page) is not shown


def test_equal_runs_give_equal_files(tmp_path: Path) -> None:
    folders = [report(tmp_path / name, 0.1, (0, 1))[2].parent for name in ("first", "second")]
    names = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    figure = "forest_distilled_baseline_rollout_iou_top_area"
    files = ["arms.tex", f"figures/{figure}.png", f"figures/{figure}.svg", "index.html", "results.csv", "roi.parquet"]
    assert [str(name) for name in names] == files
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


def test_the_files_beside_the_page_hold_what_it_shows(tmp_path: Path) -> None:
    _, page, path = report(tmp_path, 0.1, (0, 1))
    rois = pd.read_parquet(path.parent / "roi.parquet")
    assert rois.groupby(["arm", "seed"]).size().to_dict() == {
        (arm, seed): 160 for arm in ("baseline", "distilled") for seed in (0, 1)
    }
    results = pd.read_csv(path.parent / "results.csv")
    own = results.query("measure == 'auroc' and finding == 'all' and arm == 'distilled'")["value"]
    cell = f"{own.mean():.3f}"
    assert cell in page
    assert f"distilled & {cell} $\\pm$ {own.std():.3f}" in (path.parent / "arms.tex").read_text()


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
    effects = [own.found.effect for own in found.family if own.found is not None]
    expected = holm([effect.p_value() for effect in effects])
    assert [own.adjusted for own in found.family] == pytest.approx(expected.tolist())
    first, second, third = (own.adjusted_equivalence for own in found.family)
    assert [first, second] == pytest.approx(holm([equivalence_p_value(own, 0.02) for own in effects[:2]]).tolist())
    assert np.isnan(third)
    page = write_report(plan, tmp_path / "out", plan.seeds, finished, ())[1].read_text()
    assert page.count("<h2>Declared family: ") == 3
    assert page.count("after Holm's correction") == 5
    assert page.count("Equivalence within") == 2


@pytest.mark.parametrize(
    ("contrast", "expected", "estimate"),
    [
        ("domain", "The effect of distillation on localization is higher in chest than in breast", 0.075),
        ("form", "A student localizes better when distilled from text than from table", 0.05),
        ("interaction", "The difference of text from table is higher in chest than in breast", 0.05),
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
    assert page.count("<h2>Exploratory: ") == 4
    assert f"<strong>{contrast}</strong>" in page


def test_arms_below_chance_are_listed(tmp_path: Path) -> None:
    plan = load_plan(write_factorial_study(tmp_path, "form"))
    effects = {"chest_text": -0.4, "chest_table": -0.41, "breast_text": 0.05, "breast_table": -0.42}
    declare(plan, tmp_path / "out", plan.seeds)
    planned = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(planned, InThisProcess(FakeCommandLine(effects=effects))).finished
    sentence, _ = write_report(plan, tmp_path / "out", plan.seeds, finished, ())
    assert sentence.endswith("Chest_text, chest_table and breast_table did not beat a map that sees no student.")


def test_a_factorial_study_of_one_seed_or_missing_arms_has_no_answer_yet(tmp_path: Path) -> None:
    plan = load_plan(write_factorial_study(tmp_path, "domain", (0,)))
    runs = plan_runs(plan, tmp_path / "out", plan.seeds, ())
    finished = run_all(runs, InThisProcess(FakeCommandLine())).finished
    assert "needs two seeds or more" in write_report(plan, tmp_path / "out", plan.seeds, finished, ())[0]
    some = [run for run in finished if run.arm.name != "breast_text"]
    assert "no finished run of breast_text" in write_report(plan, tmp_path / "out", plan.seeds, some, ())[0]


EXTERNAL = "external: {elsewhere: {data: other.yaml, arms: [baseline, distilled], overrides: [--data.root=x]}}\n"


def test_students_are_tested_on_another_data_set_without_training_again(tmp_path: Path) -> None:
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
    _, page = write_report(plan, tmp_path / "out", plan.seeds, outcome.finished, ())
    text = page.read_text()
    assert "Exploratory, on elsewhere: distilled minus baseline" in text
    assert "Arms on the test set: elsewhere" in text
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
        ("arms: [baseline, distilled]", "arms: []", "expected an arm or more"),
        ("--data.root=x", "--model.student=x", "expected overrides of the data only"),
    ],
)
def test_external_data_that_cannot_be_tested_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "other.yaml").write_text("class_path: Other\n")
    path = write_study(tmp_path, (0,), EXTERNAL.replace(old, new))
    with pytest.raises(StudyError, match=message):
        load_plan(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("contrast: domain", "contrast: donain", "expected `contrast` to be one of"),
        ("text: breast_text, table", "text: breast_text, tabel", "same two forms"),
        ("reference: chest_baseline", "reference: breast_baseline", "expected every student arm"),
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


def test_an_endpoint_that_was_changed_after_the_runs_is_exploratory(tmp_path: Path) -> None:
    sentence, page, _ = report(tmp_path, 0.1, (0, 1))
    assert "Declared before the first run" in page
    assert "Not declared" not in sentence
    study = tmp_path / "study.yaml"
    study.write_text(study.read_text().replace("score: iou_top_area", "score: iou_top_area, margin: 0.5"))
    assert main([str(study), "--out", str(tmp_path / "out"), "--report-only"]) == 0
    again = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "Not declared before the first run, or changed since, and so exploratory." in again
    assert "Declared before the first run" not in again


def test_seeds_that_were_chosen_later_are_told(tmp_path: Path) -> None:
    _, page, path = report(tmp_path, 0.1, (0, 1))
    assert "were declared; this report" not in page
    arguments = [str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--report-only", "--seeds", "1"]
    assert main(arguments) == 0
    assert "seeds 0, 1 were declared; this report is of seeds 1." in path.read_text()


def test_one_question_without_an_answer_leaves_the_others_theirs(tmp_path: Path) -> None:
    family = "family: [{arm: baseline, reference: distilled, score: no_such}, {arm: baseline, reference: distilled}]\n"
    plan = load_plan(write_study(tmp_path, (0, 1), family))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    found = conclude(plan, [read_run(run) for run in finished])
    assert found.primary is not None
    assert found.family[0].found is None
    assert "no_such" in found.family[0].reason
    assert found.family[1].found is not None
    assert found.family[1].adjusted == pytest.approx(2 * found.family[1].found.effect.p_value())
    page = write_report(plan, tmp_path / "out", plan.seeds, finished, ())[1].read_text()
    assert "Declared family: without an answer" in page


def test_arms_without_a_common_seed_have_no_answer_but_a_report(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    some = [run for run in finished if run.name not in ("baseline (seed 0)", "distilled (seed 1)")]
    sentence, page = write_report(plan, tmp_path / "out", plan.seeds, some, ())
    assert sentence.startswith("No answer: Expected a seed and ROIs that both arms")
    assert "Arms on the test set" in page.read_text()


def test_a_score_that_is_never_defined_has_no_answer_but_a_report(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    path = tmp_path / "out" / "distilled" / "seed1" / "roi_test.parquet"
    pd.read_parquet(path).assign(iou_top_area=np.nan).to_parquet(path)
    sentence, _ = write_report(plan, tmp_path / "out", plan.seeds, finished, ())
    assert "to be defined for some ROI in every run" in sentence


def test_levels_are_those_of_the_runs_that_are_compared(tmp_path: Path) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1, 2)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    path = tmp_path / "out" / "baseline" / "seed2" / "roi_test.parquet"
    pd.read_parquet(path).assign(iou_top_area=1.0).to_parquet(path)
    found = conclude(plan, [read_run(run) for run in finished if run.name != "distilled (seed 2)"])
    assert found.primary is not None
    assert found.primary.levels[0] - found.primary.levels[1] == pytest.approx(found.primary.effect.estimate, abs=1e-9)


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
    arm, reference = found.primary.levels
    assert arm - reference == pytest.approx(found.primary.effect.estimate, abs=1e-9)
    assert arm < reference
    (regression,) = (own for own in found.primary.matched if own.name.startswith("macro AUROC"))
    assert regression.effect.estimate == pytest.approx(-0.02, abs=0.02)
    num_undefined = found.primary.overall.num_undefined
    assert num_undefined > 0
    assert f"({num_undefined} differences are undefined and left out)" in found.sentence


def test_equivalence_is_told_with_its_margin_and_its_interval(tmp_path: Path) -> None:
    path = write_study(tmp_path, (0, 1, 2, 3, 4))
    path.write_text(path.read_text().replace("score: iou_top_area", "score: iou_top_area, margin: 0.05"))
    plan = load_plan(path)
    execute = FakeCommandLine(effects={"distilled": 0.002})
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(execute)).finished
    found = conclude(plan, [read_run(run) for run in finished])
    assert found.sentence.startswith("Distilled and baseline localize equally well within ± 0.05: ")
    assert found.primary is not None
    inner = found.primary.effect.interval(0.9)
    assert f"(90 % interval {inner.low:+.3f} to {inner.high:+.3f})" in found.sentence


def test_one_seed_has_no_detectable_effect(tmp_path: Path) -> None:
    assert "would be shown with a probability" in report(tmp_path / "two", 0.1, (0, 1))[1]
    assert "would be shown with a probability" not in report(tmp_path / "one", 0.1, (0,))[1]


def test_domains_that_share_patients_are_not_contrasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def same_patients(folder: Path, seed: int, shift: float, role: str, patients_of: str) -> None:
        del patients_of
        write_run(folder, seed, shift, role)

    monkeypatch.setattr("tests.study.synthetic.write_run", same_patients)
    plan = load_plan(write_factorial_study(tmp_path, "domain", (0, 1)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    assert "but 40 are in both" in write_report(plan, tmp_path / "out", plan.seeds, finished, ())[0]
