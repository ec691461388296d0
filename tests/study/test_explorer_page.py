"""The explorer in a browser."""

import base64
import csv
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmpkd.metrics.iou import iou
from mmpkd.metrics.pointing_game import pointing_game
from mmpkd.study.analysis.run_tables import read_run
from mmpkd.study.execution.run import Run
from mmpkd.study.report.explorer.explorer import write_explorers
from tests.browser import Heard, drag, open_page, running_browser, wait
from tests.study.explored import AREAS, write_explored_study
from tests.tiny import NAMES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FRAME = "new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve, 50)))"
READY = "window.explorer !== undefined && window.explorer.report !== undefined"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with running_browser() as started:
        yield started


@pytest.fixture(scope="module")
def every_run(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The runs of a study, also those on another data set."""
    plan, every = write_explored_study(tmp_path_factory.mktemp("study"), has_external=True)
    own = [read_run(run) for run in every if not run.test_set]
    external = {"elsewhere": [read_run(run) for run in every if run.test_set]}
    write_explorers(plan, report_of(every), own, external, is_as_declared=True)
    return every


@pytest.fixture(scope="module")
def runs(every_run: list[Run]) -> list[Run]:
    return [run for run in every_run if not run.test_set]


def report_of(runs: list[Run]) -> Path:
    return runs[0].folder.parents[1] / "report"


@pytest.fixture(scope="module")
def explorer(browser: "Browser", runs: list[Run]) -> "tuple[Page, Heard]":
    return opened(browser, report_of(runs) / "explore.html")


@pytest.fixture(scope="module")
def page(explorer: "tuple[Page, Heard]") -> "Page":
    return explorer[0]


def opened(browser: "Browser", path: Path, link: str = "") -> "tuple[Page, Heard]":
    page, heard = open_page(browser, f"{path.as_uri()}{link}")
    wait(page, READY)
    return page, heard


def items(page: "Page") -> int:
    return int(page.evaluate("explorer.selection.found.items.length"))


def choose(page: "Page", control: str, value: str) -> None:
    change = f"e => {{ e.value = '{value}'; e.dispatchEvent(new Event('change')); }}"
    page.evaluate(f"({change})(document.getElementById('{control}'))")
    wait(page, "explorer.model.isReady()")


def num_scores(runs: list[Run]) -> int:
    """Return how many scores the runs recorded, those of baseline maps once."""
    expected = 0
    for run in runs:
        tables = [pd.read_parquet(path) for path in (run.record.rois("test"), run.record.unions("test"))]
        of_run = [table[~table["attribution"].isin(["center_gaussian", "mean_roi"])] for table in tables]
        expected += sum(2 * len(table) for table in (tables if run is runs[0] else of_run))
    return expected


def test_every_recorded_score_is_computed_again_bit_by_bit(explorer: "tuple[Page, Heard]", runs: list[Run]) -> None:
    page, heard = explorer
    report = page.evaluate("explorer.report")
    expected = num_scores([run for run in runs if run.arm.role == "student"])
    assert report["pairs"] == expected
    assert report["same"] == report["bits"] == expected
    assert page.evaluate("document.getElementById('check').textContent").startswith("✓")
    assert heard.complaints == []


def test_scores_on_another_data_set_are_computed_again_bit_by_bit(browser: "Browser", every_run: list[Run]) -> None:
    page, heard = opened(browser, report_of(every_run) / "explore_elsewhere.html")
    report = page.evaluate("explorer.report")
    assert report["same"] == report["bits"] == report["pairs"] == num_scores([run for run in every_run if run.test_set])
    # what is open is the primary comparison, but only the study's own test set was declared
    said = page.evaluate("document.getElementById('kind').textContent")
    assert said == "Exploration: the declaration is about the study's own test set."
    assert heard.complaints == []
    assert heard.requests == []


def test_scores_that_differ_are_counted_and_shown(browser: "Browser", runs: list[Run], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.html"
    text = (report_of(runs) / "explore.html").read_text()
    area = f'"top_area":{AREAS["finding"]}'
    assert area in text
    unseen = text.replace('"Right Finding"]', '"Right Finding","Without Region"]', 1)
    assert unseen != text
    wrong.write_text(
        unseen.replace(area, '"top_area":0.09').replace('"license":"synthetic"', '"license":"credentialed"')
    )
    page, _ = opened(browser, wrong)
    assert page.evaluate("[...document.querySelectorAll('#findings label')].map(label => label.textContent)") == [
        *NAMES
    ]
    report = page.evaluate("({...explorer.report, differences: explorer.report.differences.length})")
    assert 0 < report["differences"] == report["pairs"] - report["same"]
    assert "recorded scores differ here" in page.evaluate("document.getElementById('check').textContent")
    page.evaluate("document.getElementById('check').click()")
    rows = page.evaluate("document.querySelectorAll('#differences tbody tr').length")
    assert rows == min(100, report["differences"])
    banner = page.evaluate("(e => [e.hidden, e.textContent])(document.getElementById('banner'))")
    assert banner[0] is False
    assert (
        f"{len(page.evaluate('explorer.study.meta.samples'))} images of patients under a data use agreement"
        in banner[1]
    )
    page.close()


@st.composite
def scored_maps(draw: st.DrawFn) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float]:
    """A map, a region and a share of the area, with all that makes scores differ between implementations."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    h, w = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    height, width = (
        h * draw(st.integers(1, 9)) + draw(st.integers(0, 3)),
        w * draw(st.integers(1, 9)) + draw(st.integers(0, 3)),
    )
    values = rng.random((h, w))
    kinds = {
        "random": values,
        "peaked": values**9,
        "ties": (3 * values).round(),
        "constant": 0 * values + 0.3,
        "noise": 0.3 + 2e-7 * values,
        "flat": 0.3 + 2e-6 * values,
        "negative": -values,
        "tiny": values * 1e-39,
        "huge": (values - 0.5) * 6e38,
        "offset": 1e4 + values,
    }
    heatmap = kinds[draw(st.sampled_from(sorted(kinds)))].astype(np.float32)
    if draw(st.integers(0, 9)) == 0:
        heatmap[0, 0] = draw(st.sampled_from([np.nan, np.inf]))
    mask = np.zeros((height, width), np.bool_)
    y, x = draw(st.tuples(st.integers(0, height), st.integers(0, width)))
    mask[y : y + draw(st.integers(0, height)), x : x + draw(st.integers(0, width))] = True
    return heatmap, mask, draw(st.sampled_from([0.001, 0.01, 0.05, 0.125, 0.333, 0.5, 1.0]))


def test_scores_in_the_page_are_those_of_the_package(page: "Page") -> None:
    def encoded(array: np.ndarray[Any, Any]) -> str:
        return base64.b64encode(array.tobytes()).decode()

    @settings(max_examples=120)
    @given(scored_maps())
    def check(case: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float]) -> None:
        heatmap, mask, area = case
        (h, w), (height, width) = heatmap.shape, mask.shape
        found = page.evaluate(
            f"""(() => {{
            const map = new Float32Array(Payload.bytesOf("{encoded(heatmap)}").buffer), mask = Payload.bytesOf("{encoded(mask)}");
            const seen = Scoring.levelsOf(map, {h}, {w}, {height}, {width}), pixels = mask.reduce((a, b) => a + b, 0);
            const nums = [Scoring.numSelected({area}, mask.length)], out = new Float32Array(1);
            Scoring.iouCurve(seen, Scoring.orderOf(seen.levels), mask, pixels, nums, out);
            return [out[0], Scoring.pointingGame(map, {h}, {w}, {height}, {width}, mask, pixels)].map(String);
            }})()"""
        )
        own, region = torch.from_numpy(heatmap)[None], torch.from_numpy(mask)[None]
        expected = [iou(own, region, "top_area", area).item(), pointing_game(own, region).item()]
        assert [float(value) for value in found] == pytest.approx(expected, abs=0, rel=0, nan_ok=True)

    check()


def test_a_curve_has_the_scores_of_every_share_of_the_area(page: "Page") -> None:
    wait(page, "explorer.model.isReady()")
    found = page.evaluate(
        """(() => {
        const { scores, study } = explorer, unit = study.units.finding, out = [];
        const { values, h, w } = unit.map(0, "rollout", 5), table = scores.tableOf(unit, 0, "rollout");
        const seen = Scoring.levelsOf(values, h, w, study.H, study.W), order = Scoring.orderOf(seen.levels);
        for (const [k, num] of scores.nums.entries()) {
          const one = Scoring.iouCurve(seen, order, unit.mask(5), unit.pixels[5], [num], new Float32Array(1));
          out.push([one[0], table.iou[5 * scores.A + k]]);
        }
        return out; })()"""
    )
    assert len(found) >= 100
    assert all(alone == of_curve for alone, of_curve in found)


def test_the_keyboard_moves_through_images_areas_and_maps(page: "Page") -> None:
    page.evaluate("document.activeElement.blur(); explorer.actions.clear()")
    first = page.evaluate("explorer.view.item")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("explorer.view.item")
    assert first != second == page.evaluate("explorer.selection.found.items[1]")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("explorer.view.item") == first
    area = page.evaluate("explorer.view.area")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("explorer.view.area") == area + 1
    page.keyboard.press("d")
    assert page.evaluate("explorer.view.area") == area
    page.keyboard.press(" ")
    assert page.evaluate("explorer.view.overlay") is False
    page.keyboard.press(" ")
    page.keyboard.press("m")
    assert page.evaluate("explorer.view.method") == "relevance"
    page.keyboard.press("m")
    wait(page, "explorer.model.isReady() && explorer.view.method === 'rollout'")
    page.keyboard.press("?")
    assert page.evaluate("document.getElementById('dialog').open")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('dialog').open")
    # keys belong to the control that has the focus
    page.evaluate("document.getElementById('area').focus()")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[explorer.view.item, explorer.view.area]") == [first, area + 1]
    page.keyboard.press("d")
    page.evaluate("document.activeElement.blur()")
    # every control is reached by the tabulator, and has a name
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, select, input, [role=img]")].filter(e => e.checkVisibility() &&
        !e.labels?.length && !e.getAttribute("aria-label") && !e.textContent.trim()).map(e => e.id || e.outerHTML)"""
    )
    assert unnamed == []
    assert page.evaluate("[...document.querySelectorAll('button, select, input')].every(e => e.tabIndex === 0)")
    assert page.evaluate(
        "(ids => ids.length === new Set(ids).size)([...document.querySelectorAll('[id]')].map(e => e.id))"
    )


def test_filters_and_a_selection_choose_and_a_choice_by_a_result_is_labelled(page: "Page") -> None:
    page.evaluate("explorer.actions.clear()")
    every = items(page)
    kind = "document.getElementById('kind').textContent"
    assert page.evaluate(kind).startswith("The declared comparison")
    choose(page, "f-s.view", "v0")
    views = page.evaluate(
        "explorer.selection.found.items.map(i => explorer.study.strata.view[explorer.model.unit().imageOf(i)])"
    )
    assert 0 < len(views) < every
    assert set(views) == {0}
    assert page.evaluate(kind).startswith("Exploration")
    choose(page, "f-s.view", "")
    choose(page, "f-hita", "yes")
    assert page.evaluate(kind).startswith("Chosen by a result")
    assert all(page.evaluate("explorer.selection.found.items.map(i => explorer.model.pointing('distilled', i))"))
    page.evaluate("explorer.actions.clear()")
    page.evaluate("document.getElementById('scatter').scrollIntoView({block: 'center'})")
    page.evaluate(FRAME)
    # a point with room around it
    chosen = page.evaluate(
        """explorer.selection.found.items.find(i => ["baseline", "distilled"].every(arm => explorer.model.iou(arm, i) > 0.05 &&
        explorer.model.iou(arm, i) < 0.3))"""
    )
    x, y = page.evaluate(f"explorer.plots.place({chosen})")
    drag(page, (x - 15, y - 15), (x, y), (x + 15, y + 15))
    listed = page.evaluate("explorer.selection.found.items")
    assert chosen in listed
    assert len(listed) < every
    assert page.evaluate(kind).startswith("Chosen by a result")
    assert page.evaluate("document.querySelectorAll('#cards .card').length") == min(12, len(listed))
    page.keyboard.press("Escape")
    assert items(page) == every
    drag(page, (x, y))
    opened_item = page.evaluate("explorer.view.item")
    near = page.evaluate(f"explorer.plots.place({opened_item})")
    assert math.dist(near, (x, y)) < 12


def test_gains_and_losses_are_sorted_and_the_table_holds_what_is_listed(page: "Page", runs: list[Run]) -> None:
    page.evaluate("explorer.actions.clear()")
    for sort, sign in (("gain", -1), ("loss", 1)):
        choose(page, "sort", sort)
        values = page.evaluate(
            "explorer.selection.found.items.map(i => explorer.model.gain(i)).map(v => Number.isNaN(v) ? null : v)"
        )
        known = [sign * value for value in values if value is not None]
        assert known == sorted(known)
        assert values[len(known) :] == [None] * (len(values) - len(known))  # what has no score comes last
    rows = list(csv.DictReader(io.StringIO(page.evaluate("explorer.files.csv()"))))
    table = pd.concat(
        [pd.read_parquet(run.record.rois("test")).assign(arm=run.arm.name) for run in runs if run.arm.role == "student"]
    )
    own = table[table["attribution"] == "rollout"].groupby(["arm", "sample_id", "finding"])["iou_top_area"].mean()
    for row in rows:
        for role in ("reference", "arm"):
            recorded = own[row[role], row["image"], row["finding"]]
            assert float(row[f"{role}_iou"] or "nan") == pytest.approx(recorded, abs=1e-6, nan_ok=True)
    assert len(rows) == items(page)


def test_what_is_shown_is_saved_as_an_image(page: "Page") -> None:
    with page.expect_download() as saved:
        page.evaluate("explorer.files.png()")
    with Image.open(saved.value.path()) as image:
        assert image.format == "PNG"
        assert image.width > 3 * image.height / 2


def test_a_link_restores_the_view_and_nonsense_in_it_does_no_harm(
    browser: "Browser", page: "Page", runs: list[Run]
) -> None:
    page.evaluate("explorer.actions.clear()")
    choose(page, "f-size", "t1")
    choose(page, "seed", "1")
    page.evaluate(
        "explorer.actions.setArea(40); explorer.actions.select({x: [0, 0.3], y: [0.01, 0.9]}), explorer.actions.step(1)"
    )
    state = (
        "[explorer.view.item, explorer.view.area, explorer.view.seed, explorer.selection.found.items, location.hash]"
    )
    before = page.evaluate(state)
    again, _ = opened(browser, report_of(runs) / "explore.html", before[-1])
    wait(again, "explorer.model.isReady()")
    assert again.evaluate(state) == before
    again.close()
    nonsense = (
        "#item=nobody&unit=image&area=0.2&seed=x&f.size=t9&f.hita=no&opacity=abc&sort=none&findings=0.77&box=1_2|x|y|z"
    )
    other, heard = opened(browser, report_of(runs) / "explore.html", nonsense)
    found = other.evaluate(
        "({...explorer.view, findings: [...explorer.view.findings], area: explorer.scores.areas[explorer.view.area]})"
    )
    assert found["unit"] == "image"
    assert found["area"] == 0.2
    assert found["sort"] == "gain"
    assert found["filters"] == {"hita": "no"}
    assert found["findings"] == [0]
    assert found["selection"] is None
    assert heard.complaints == []
    other.close()
    page.evaluate("explorer.actions.clear()")
    choose(page, "seed", "all")


def test_unions_are_a_unit_of_their_own(page: "Page", runs: list[Run]) -> None:
    choose(page, "unit", "image")
    assert items(page) == len(pd.read_parquet(runs[1].record.unions("test"))["sample_id"].unique())
    assert page.evaluate("[...document.getElementById('method').options].map(o => o.value)") == ["rollout"]
    assert page.evaluate("explorer.view.baseline") == "center_gaussian"
    assert page.evaluate("explorer.scores.areas[explorer.view.area]") == AREAS["image"]
    choose(page, "unit", "finding")


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_clipped(page: "Page", width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(FRAME)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    clipped = page.evaluate(
        """[...document.querySelectorAll("main *, header *")].filter(e => e.clientWidth > 1 &&
        e.scrollWidth > e.clientWidth + 1 && !e.matches(".hidden, .id")).map(e => e.id || e.className || e.tagName)"""
    )
    assert clipped == []
    beyond = page.evaluate(
        """[...document.querySelectorAll("button, select, input, canvas, td, th")].map(e => [e, e.getBoundingClientRect()])
        .filter(([e, box]) => box.width && (box.left < -1 || box.right > innerWidth + 1)).map(([e]) => e.id || e.textContent)"""
    )
    assert beyond == []
    folder = os.environ.get("MMPKD_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"explorer_{width}.png", full_page=True)


def test_text_is_readable_in_both_themes(page: "Page") -> None:
    ratios = page.evaluate(
        """(() => {
        const out = [], light = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const level = name => {
          const e = document.body.appendChild(document.createElement("i"));
          e.style.color = `var(${name})`;
          const [r, g, b] = getComputedStyle(e).color.match(/[0-9.]+/g).map(Number);
          e.remove();
          return 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
        };
        for (const theme of ["dark", "light"]) {
          document.documentElement.dataset.theme = theme;
          for (const back of ["--card", "--page", "--chosen"]) {
            for (const front of ["--ink", "--soft", "--accent", "--good", "--bad"]) {
              const [a, b] = [level(front), level(back)].sort((p, q) => q - p);
              out.push([theme, front, back, (a + 0.05) / (b + 0.05)]);
            }
          }
        }
        return out; })()"""
    )
    assert [own for own in ratios if own[-1] < 4.5] == []
