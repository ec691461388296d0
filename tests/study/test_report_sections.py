"""The sections of a report, against values that are computed here in another way."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mmpkd.numerics.hardware import processor
from mmpkd.records.unit import Unit
from mmpkd.study.analysis.run_tables import RunTables, read_run
from mmpkd.study.analysis.scores import results_table
from mmpkd.study.execution.run import is_finished
from mmpkd.study.plan.domains import domains
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.plan.questions import Measure
from mmpkd.study.report.figures import with_own_ids
from mmpkd.study.report.sections.auroc import auroc_part
from mmpkd.study.report.sections.faithfulness import faithfulness
from mmpkd.study.report.sections.gallery import gallery
from mmpkd.study.report.sections.learning import learning_part
from mmpkd.study.report.sections.pairs import Pair, declared_pairs
from mmpkd.study.report.sections.reliability import reliability_part
from mmpkd.study.report.sections.subgroups import ordered, subgroup_part
from mmpkd.study.report.sections.tables import arm_grid
from tests.study.rich_study import FINDINGS, NUM_IMAGES, write_rich_report
from tests.study.synthetic import planned

ARMS = ("baseline", "distilled")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rich_report(tmp_path_factory.mktemp("rich"))


@pytest.fixture(scope="module")
def tables(page: Path) -> list[RunTables]:
    return [read_run(run) for run in planned(page.parents[2]) if is_finished(run)]


@pytest.fixture(scope="module")
def pair(page: Path, tables: list[RunTables]) -> Pair:
    plan = load_plan(page.parents[2] / "study.yaml")
    (found,) = declared_pairs(plan, domains(plan)[0], tables)
    return found


def of_arm(tables: list[RunTables], arm: str) -> list[RunTables]:
    return [table for table in tables if table.run.arm.name == arm]


def test_auroc_is_that_of_each_finding_and_paired(pair: Pair, tables: list[RunTables], tmp_path: Path) -> None:
    part = auroc_part(pair, tmp_path, "")
    assert [row.finding for row in part.rows] == ["all", *FINDINGS]
    means = []
    for row in part.rows[1:]:
        expected = {
            arm: np.mean(
                [
                    roc_auc_score(
                        own.predictions[f"target/{row.finding}"], own.predictions[f"probability/{row.finding}"]
                    )
                    for own in of_arm(tables, arm)
                ]
            )
            for arm in ARMS
        }
        assert (row.reference, row.arm) == pytest.approx((expected["baseline"], expected["distilled"]))
        assert row.effect.estimate == pytest.approx(row.arm - row.reference)
        assert row.effect.interval().low < row.effect.estimate < row.effect.interval().high
        assert row.num_positive + row.num_negative == NUM_IMAGES
        means.append(row.effect.estimate)
    assert part.rows[0].effect.estimate == pytest.approx(np.mean(means))
    assert (tmp_path / "auroc_distilled_baseline.png").is_file()


def test_reliability_counts_every_prediction_once(tables: list[RunTables], tmp_path: Path) -> None:
    part = reliability_part([own for own in tables if own.run.arm.role == "student"], ARMS, tmp_path, "")
    for arm in part.arms:
        frames = [own.predictions for own in of_arm(tables, arm.arm)]
        p = np.concatenate([frame[f"probability/{finding}"] for frame in frames for finding in FINDINGS])
        y = np.concatenate([frame[f"target/{finding}"] for frame in frames for finding in FINDINGS])
        by_bin = pd.DataFrame({"p": p, "y": y}).groupby(np.minimum(np.floor(10 * p), 9)).agg(["mean", "size"])
        assert [own.num for own in arm.bins] == by_bin["p"]["size"].tolist()
        assert [own.predicted for own in arm.bins] == pytest.approx(by_bin["p"]["mean"].tolist())
        assert [own.frequency for own in arm.bins] == pytest.approx(by_bin["y"]["mean"].tolist())
        assert all(own.low <= own.frequency <= own.high for own in arm.bins)
        assert arm.excess.effect.estimate == pytest.approx((p - y).mean())


@pytest.mark.parametrize("unit", ["finding", "image"])
def test_arms_are_scored_in_the_declared_unit(tables: list[RunTables], unit: Unit) -> None:
    students = [own for own in tables if own.run.arm.role == "student"]
    arms = list({own.run.arm.name: own.run.arm for own in students}.values())
    grid = arm_grid(arms, results_table(students), Measure("rollout", "iou_top_area", unit), ["iou_top_area"])
    for row in grid.rows:
        frames = [own.localization(unit) for own in of_arm(tables, row.name)]
        means = [
            frame.query("attribution == 'rollout'")["iou_top_area"].mean() for frame in frames if frame is not None
        ]
        assert row.cells[-1].mean == pytest.approx(np.mean(means))


def test_learning_curves_know_the_best_epoch_of_each_seed(tables: list[RunTables], tmp_path: Path) -> None:
    part = learning_part(tables, [*ARMS, "teacher"], tmp_path, "")
    assert part is not None
    assert part.monitors == ("val/auroc_macro",)
    assert [(row.arm, row.num_seeds, row.epochs, row.best_epochs) for row in part.rows] == [
        ("baseline", 2, 3, (2, 2)),
        ("distilled", 2, 3, (2, 2)),
        ("teacher", 1, 3, (2, 2)),
    ]
    assert part.rows[0].best.mean == pytest.approx(0.905)  # .90 and .91
    assert part.rows[0].best.sd == pytest.approx(0.01 / np.sqrt(2))
    assert part.rows[0].last.mean == pytest.approx(0.855)
    assert part.rows[2].best.sd is None
    assert learning_part(tables, ["nobody"], tmp_path, "") is None


def test_subgroups_are_in_order_add_up_and_are_paired(pair: Pair, page: Path, tmp_path: Path) -> None:
    plan = load_plan(page.parents[2] / "study.yaml")
    part = subgroup_part(pair, plan.endpoint, tmp_path, "")
    assert part is not None
    values = {group.title: [row.finding for row in group.rows] for group in part.groups}
    assert values == {
        "area of the region": ["smallest third", "middle third", "largest third"],
        "number of regions": ["1", "2", "3 or more"],
        "view": ["AP", "PA"],
        "age": ["9 to 17", "18 and more"],
    }
    for group in part.groups:
        assert sum(row.num_rois for row in group.rows) + group.num_unknown == part.overall.num_rois
    assert {group.title: group.num_unknown for group in part.groups}["view"] == 20 * len(FINDINGS)
    scores = {
        (own.run.arm.name, own.run.seed): own.rois.query("attribution == 'rollout' and `stratum/view` == 'AP'")
        .groupby("patient_id")["iou_top_area"]
        .mean()
        for own in (*pair.arm_runs, *pair.reference_runs)
        if own.rois is not None
    }
    expected = np.mean([scores["distilled", seed].mean() - scores["baseline", seed].mean() for seed in (0, 1)])
    view = next(group for group in part.groups if group.title == "view")
    assert view.rows[0].effect.estimate == pytest.approx(expected)


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_numbers_are_in_the_order_of_their_values(numbers: list[int]) -> None:
    found = ordered(pd.Series([f"{number} years" for number in numbers]))
    assert found == [f"{number} years" for number in sorted(numbers)]
    assert ordered(pd.Series(["40 and more", "<40", None])) == ["<40", "40 and more"]


def test_faithfulness_is_compared_with_a_random_map(tables: list[RunTables]) -> None:
    students = [own for own in tables if own.run.arm.role == "student"]
    rows = list(faithfulness(students, ARMS))
    assert [(row.arm, row.attribution, row.num_seeds, row.num_images) for row in rows] == [
        (arm, name, 2, 20) for arm in ARMS for name in ("rollout", "random")
    ]
    deletion, insertion = rows[0].beyond_random
    assert deletion.effect.estimate == pytest.approx(-0.1, abs=0.01)
    assert insertion.effect.estimate == pytest.approx(0.1, abs=0.01)
    assert rows[0].means == pytest.approx((0.3, 0.6), abs=0.01)
    assert rows[1].beyond_random == ()


def test_faithfulness_of_another_checkpoint_is_refused(tables: list[RunTables]) -> None:
    tested = [replace(own, test=replace(own.test, checkpoint="0" * 64)) for own in tables]
    with pytest.raises(StudyError, match="made with another one"):
        list(faithfulness(tested, ARMS))


def test_outlines_have_the_colours_of_the_labels_and_maps_are_small(tables: list[RunTables]) -> None:
    students = [own for own in tables if own.run.arm.role == "student"]
    case = gallery(students)[0]
    assert [outline.finding for outline in case.outlines] == list(FINDINGS)
    assert case.outlines[0].color == "rgb(86 180 233)"
    assert students[0].rois is not None
    benign = replace(students[0], rois=students[0].rois.assign(target=0.0))
    assert gallery([benign])[0].outlines[0].finding == f"{FINDINGS[0]} (absent)"
    assert [(own.arm, own.width, own.height) for own in case.maps] == [("baseline", 384, 384), ("distilled", 384, 384)]
    png = students[0].run.record.maps("test") / "s000.png"
    assert len(case.maps[0].source) < png.stat().st_size


def test_the_page_says_what_was_not_said_before(page: Path) -> None:
    text = page.read_text()
    assert "both are right" in text  # the teacher on labels that err, and on those of the test set
    assert "About 12% of these labels are wrong on purpose." in text
    assert 'href="../distilled/seed1/metrics.csv"' in text
    assert "<code>mmpkd study demo.yaml</code>" in text
    assert "Tested 2026-01-01 to 2026-01-02 (UTC) on A processor, 1 thread" in re.sub(r"\s+", " ", text)
    assert "Mean probability of the finding while patches are removed or put back" in text


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
def test_figures_share_no_identifier(names: list[str]) -> None:
    body = "".join(
        f'<path id="{name}"/><use xlink:href="#{name}"/><g clip-path="url(#{name}x)"/>' for name in sorted(set(names))
    )
    svg = f'<svg viewBox="0 0 1 1"><title>A "b" &amp; c</title><g id="unused">{body}</g></svg>'
    both = with_own_ids(svg, "one") + with_own_ids(svg, "two")
    ids = re.findall(r' id="([^"]*)"', both)
    assert len(ids) == len(set(ids)) == 2 * len(set(names))
    assert set(re.findall(r'href="#([^"]*)"', both)) == set(ids)
    assert both.count('role="img" aria-label="A &quot;b&quot; &amp; c"') == 2


def test_a_processor_has_the_name_that_linux_gives_it(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: A Fast One @ 3 GHz\nprocessor\t: 1\n")
    assert processor(info) == "A Fast One @ 3 GHz"
    assert processor(tmp_path / "nothing") != ""
