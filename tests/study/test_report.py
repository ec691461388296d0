"""The report of a study."""

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
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import FailedRun
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.declaration import declare
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.report import write_report
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_study


class Page(HTMLParser):
    """Collects what a page refers to, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = [
            value or "" for name, value in attrs if name in ("src", "href") and tag in ("img", "script", "link", "a")
        ]
        (self.links if tag == "a" else self.sources).extend(found)
        if tag not in ("meta", "img", "br", "link"):
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
        (-0.001, (0, 1, 2, 3, 4), "No difference in localization"),
        (0.1, (0, 1, 2), "With fewer than 5 seeds, this is only a hint."),
        (0.1, (0, 1), "No answer from two seeds: run at least 5."),
        (0.1, (0,), "No answer from one seed: a single training run says nothing about the method"),
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
    assert "79 regions" in sentence or "80 regions" in sentence


def test_the_sentence_says_when_an_arm_does_not_beat_a_baseline_map(tmp_path: Path) -> None:
    good, _, _ = report(tmp_path / "good", 0.1, (0,))
    assert "distilled 0.4" in good
    assert "best baseline map, which needs no student (all-ones map), 0.0" in good
    assert "did not beat" not in good
    bad, _, _ = report(tmp_path / "bad", -0.4, (0,))
    assert bad.endswith("Distilled did not beat the best baseline map.")


def test_a_mean_that_no_pair_of_runs_has_is_not_shown(tmp_path: Path) -> None:
    _, page, path = report(tmp_path, -0.4, (0, 1))
    section = page[page.index('id="comparison-1"') : page.index('id="section-1"')]
    assert (
        "No mean is computed: the runs of both arms localize in too few seeds. Differences of all runs by seed"
        in section
    )
    assert "<table" not in section
    assert not list((path.parent / "figures").glob("forest*"))


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

    monkeypatch.setattr("mmpkd.study.execution.data_check.check_data_of", interrupt)
    assert main([str(write_study(tmp_path, (0,))), "--out", str(tmp_path / "out")]) == 130
    assert "resumes where it stopped" in capsys.readouterr().err


def test_a_single_finding_is_not_reported_twice(tmp_path: Path) -> None:
    _, page, _ = report(tmp_path, 0.1, (0, 1))
    table = page[page.index("by finding, distilled minus baseline</caption>") :]
    assert re.findall(r'scope="row" class="left">([^<]*)<', table[: table.index("</table>")]) == ["all"]


def test_the_page_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    _, text, path = report(tmp_path, 0.1, (0, 1))
    page = Page()
    page.feed(text)
    assert page.open == []
    assert (
        len([source for source in page.sources if source.startswith("data:image/webp;base64,")]) == 4
    )  # two images in two arms
    assert all(source.startswith("data:") for source in page.sources)
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert text.count("<table ") == text.count("<caption>")
    assert text.count("<svg ") == text.count('<svg role="img" aria-label="') == text.count("<title>") - 1
    for link in page.links:
        assert link[1:] in ids if link.startswith("#") else (path.parent / link).exists(), link
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
        write_report(plan, tmp_path / "other", plan.seeds, [], [FailedRun(run, "x") for run in runs])


def test_the_command_prints_a_plan_and_explains_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path)
    arguments = [str(path), "--out", str(tmp_path / "out"), "--seeds", "3", "--dry-run", "--", "--data.batch_size=2"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("--data.batch_size=2" in line for line in lines[:3])
    assert lines[3] == "0 finished, 3 to do; their duration is known once runs are finished"
    assert "--seed_everything 3" in lines[1]
    assert not (tmp_path / "out").exists()
    assert main([str(tmp_path / "nothing.yaml")]) == 2
    assert "Expected a study file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_runs_through_the_real_command_line(tiny_root: Path, tmp_path: Path) -> None:
    from tests.runs import config, data, student, text_teacher

    monitor = [
        {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"},
        {"class_path": "mmpkd.callbacks.localization.AttributionMapLogger", "init_args": {"num_images": 2}},
    ]
    write_study(tmp_path, (0,), "external: {elsewhere: {data: other.yaml, arms: [baseline, distilled]}}\n")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(data(tiny_root, num_workers=0)))
    config(tmp_path, "teacher", tiny_root, text_teacher())
    for name in ("baseline", "distill"):
        config(tmp_path, name, tiny_root, student(), trainer={"callbacks": monitor})
    assert main([str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "a single training run says nothing about the method" in text
    assert text.count("data:image/webp") >= 2
    assert '<a href="explore.html">' in text
    assert (tmp_path / "out" / "report" / "explore.html").is_file()
    # the same images elsewhere: the same predictions
    own, elsewhere = (
        pd.read_parquet(tmp_path / "out" / "distilled" / "seed0" / part / "predictions_test.parquet")
        for part in (".", "external/elsewhere")
    )
    pd.testing.assert_frame_equal(own, elsewhere)
    assert "Exploratory, on elsewhere" in text
    assert not (tmp_path / "out" / "distilled" / "seed0" / "external" / "elsewhere" / "checkpoints").exists()
    assert main([str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--report-only"]) == 0


@pytest.mark.parametrize(("license_name", "shown"), [("synthetic", True), ("credentialed", False)])
def test_the_gallery_names_no_credentialed_image(tmp_path: Path, license_name: str, shown: bool) -> None:
    plan = load_plan(write_study(tmp_path))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    for run in finished:
        state = run.record.state
        assert state is not None
        assert state.test is not None
        run.record.update(test=replace(state.test, license=license_name))
    sentence, path = write_report(plan, tmp_path / "out", plan.seeds, finished, ())
    page = path.read_text()
    assert ("s001" in page) is shown
    assert ("Example 2" in page) is not shown
    assert ("images of patients under a data use agreement" in page) is not shown
    assert ("On phantoms: " in sentence) is shown


def test_equal_runs_give_equal_files(tmp_path: Path) -> None:
    folders = [report(tmp_path / name, 0.1, (0, 1))[2].parent for name in ("first", "second")]
    names = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    drawn = ["auroc_distilled_baseline", "forest_distilled_baseline_rollout_iou_top_area", "reliability"]
    figures = [f"figures/{name}.{ending}" for name in drawn for ending in ("png", "svg")]
    assert [str(name) for name in names] == ["arms.tex", *figures, "index.html", "results.csv", "roi.parquet"]
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


def test_an_endpoint_that_was_changed_after_the_runs_is_exploratory(tmp_path: Path) -> None:
    sentence, page, _ = report(tmp_path, 0.1, (0, 1))
    assert "Declared before the first run" in page
    assert "Exploratory" not in sentence
    study = tmp_path / "study.yaml"
    study.write_text(study.read_text().replace("score: iou_top_area", "score: iou_top_area, margin: 0.5"))
    assert main([str(study), "--out", str(tmp_path / "out"), "--report-only"]) == 0
    again = (tmp_path / "out" / "report" / "index.html").read_text()
    assert '<div class="answer"><p>Exploratory: ' in again
    assert "<li>The question was not declared before the first run" in again
    assert "Declared before the first run" not in again


def test_seeds_that_were_chosen_later_are_told(tmp_path: Path) -> None:
    _, page, path = report(tmp_path, 0.1, (0, 1))
    assert "were declared; this report" not in page
    arguments = [str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--report-only", "--seeds", "1"]
    assert main(arguments) == 0
    assert "seeds 0, 1 were declared; this report covers seeds 1." in path.read_text()


def test_fewer_than_three_seeds_have_no_detectable_effect(tmp_path: Path) -> None:
    assert "would be shown with a probability" in report(tmp_path / "three", 0.1, (0, 1, 2))[1]
    assert "would be shown with a probability" not in report(tmp_path / "two", 0.1, (0, 1))[1]


def test_one_seed_has_no_p_value(tmp_path: Path) -> None:
    page = report(tmp_path / "one", 0.1, (0,))[1]
    assert re.search(r"\bp: ", page) is None
    assert "so there is no p-value" in page
