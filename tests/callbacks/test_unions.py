"""Maps that are the same for all findings of an image are scored against the union of its regions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from mmpkd.attribution import AttentionRollout, AttributionMethod, GradCAM, ImageIntensity, MeanRoiAll
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.localization.pair_columns import Columns
from mmpkd.callbacks.localization.unions import union_columns, unions_of
from mmpkd.metrics import IoU, PointingGame
from mmpkd.records import RunFolder
from mmpkd.records.roi_table import KEY, check_unions, score_columns, stratified
from mmpkd.records.tables import write_table
from tests.callbacks.localization_data import SIDE, MemoryData, StudentModule, make_samples, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")
AREA = 0.25
GRID = 4
SAME_FOR_ALL = {"rollout", "last_layer", "all_ones", "random", "center_gaussian", "image_intensity", "mean_roi_all"}


class Tables:
    """The tables of a validation and of a test on the same samples."""

    def __init__(self, folder: Path, batch_size: int = 3, order: int = 1) -> None:
        data = MemoryData(make_samples()[::order], batch_size)
        data.roi_union_area = AREA  # type: ignore[attr-defined]
        self.monitor, self.module = LocalizationMonitor(), StudentModule()
        self.trainer = make_trainer(folder, [self.monitor])
        self.trainer.validate(self.module, datamodule=data, verbose=False)
        self.val = pd.read_parquet(RunFolder(folder).unions("val"))
        self.trainer.test(self.module, datamodule=data, verbose=False)
        self.test = pd.read_parquet(RunFolder(folder).unions("test"))
        self.regions = pd.read_parquet(RunFolder(folder).rois("test"))
        self.folder = RunFolder(folder)

    def heatmap(self, method: AttributionMethod, row: int) -> NDArray[np.float64]:
        image = torch.tensor(make_samples()[row].image)[None]
        with torch.no_grad():
            return np.asarray(method(self.module.student.eval(), image)[0], dtype=np.float64)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(tmp_path_factory.mktemp("unions"))


def union(row: int) -> NDArray[np.bool_]:
    mask = make_samples()[row].roi_mask
    assert mask is not None
    return np.asarray(mask.any(0))


def in_pixels(heatmap: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate along one side, then along the other; a patch's value is at its centre."""
    centres = (np.arange(GRID) + 0.5) * SIDE / GRID
    pixels = np.arange(SIDE) + 0.5
    wide = np.stack([np.interp(pixels, centres, line) for line in heatmap])
    return np.stack([np.interp(pixels, centres, line) for line in wide.T]).T


def overlap(selected: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    return float((selected & mask).sum() / (selected | mask).sum())


def best_of_all_patches(mask: NDArray[np.bool_]) -> float:
    """Try every set of patches."""
    covered = mask.reshape(GRID, SIDE // GRID, GRID, SIDE // GRID).sum((1, 3)).ravel()
    sets = (np.arange(1, 2 ** len(covered))[:, None] >> np.arange(len(covered))) & 1
    hits = sets @ covered
    return float((hits / (sets.sum(1) * (SIDE // GRID) ** 2 + mask.sum() - hits)).max())


def test_there_is_one_row_an_image_and_attribution_that_knows_no_finding(tables: Tables) -> None:
    assert set(tables.test["attribution"]) == SAME_FOR_ALL
    assert set(tables.val["attribution"]) == SAME_FOR_ALL - {"mean_roi_all"}  # learned there, and so not scored there
    for _, own in tables.test.groupby("attribution"):
        assert own["sample_id"].tolist() == ["study/0", "study/2", "study/5"]  # study/6 has an empty region only
    assert set(tables.test["finding"]) == {"any"}
    assert tables.test.columns.tolist() == tables.regions.columns.tolist()
    assert set(tables.regions["attribution"]) == SAME_FOR_ALL | {"mean_roi", "relevance", "grad_cam"}


@pytest.mark.parametrize("method", [AttentionRollout(), ImageIntensity()], ids=lambda method: method.name)
def test_scores_are_those_of_all_pixels_and_all_sets_of_patches(tables: Tables, method: AttributionMethod) -> None:
    own = tables.test[tables.test["attribution"] == method.name].set_index("sample_id")
    for row in (0, 2, 5):
        heatmap, mask = tables.heatmap(method, row), union(row)
        values = in_pixels(heatmap)
        top = np.zeros(values.size, np.bool_)
        top[np.argsort(-values, axis=None, kind="stable")[: round(AREA * values.size)]] = True
        found = own.loc[f"study/{row}"]
        assert found["iou_top_area"] == pytest.approx(overlap(top.reshape(mask.shape), mask), abs=0.005)
        y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
        assert found["pointing_game"] == mask[int(y) * 8 + 4, int(x) * 8 + 4]
        assert found["relevance_mass"] == pytest.approx(values[mask].sum() / values.sum(), abs=1e-5)
        pairs = values[mask][:, None] - values[~mask]
        assert found["pixel_auroc"] == pytest.approx(float((pairs > 0).mean() + (pairs == 0).mean() / 2), abs=1e-3)
        assert found["area"] == pytest.approx(mask.mean())
        assert found["iou_ceiling"] == pytest.approx(best_of_all_patches(mask))


def test_the_threshold_of_unions_is_the_best_for_unions_in_validation(tables: Tables) -> None:
    own = tables.test[tables.test["attribution"] == "rollout"]
    curves = []
    for row in (0, 2, 5):
        values = in_pixels(tables.heatmap(AttentionRollout(), row))
        scaled = (values - values.min()) / (values.max() - values.min())
        curves.append([overlap(scaled * 255 >= t, union(row)) for t in range(1, 256)])
    assert own["iou_val"].mean() == pytest.approx(np.mean(curves, axis=0).max(), abs=2e-3)
    state = tables.monitor.state_dict()
    assert set(state["union_thresholds"]["rollout"]) == {"any", ""}
    assert set(state["thresholds"]["rollout"]) == {"Effusion", "Mass", ""}  # not one of unions among them
    assert set(state["union_thresholds"]) == SAME_FOR_ALL - {"mean_roi_all"}


def test_a_single_region_is_its_own_union(tables: Tables) -> None:
    """What depends on the unit: the area that is selected, the threshold, and the finding."""
    single = tables.regions[tables.regions["sample_id"].isin(["study/0", "study/5"])]
    both = tables.test.merge(single, on=["sample_id", "attribution"], suffixes=("", "/region"))
    assert len(both) == 2 * len(SAME_FOR_ALL)
    for name in set(tables.test.columns) - {"sample_id", "attribution", "finding", "iou_top_area", "iou_val"}:
        pd.testing.assert_series_equal(both[name], both[f"{name}/region"], check_names=False)


def test_the_mean_of_all_regions_counts_each_once(tables: Tables) -> None:
    samples = make_samples()
    masks = np.concatenate([np.asarray(samples[row].roi_mask) for row in (0, 2, 5)])
    expected = masks.reshape(len(masks), GRID, SIDE // GRID, GRID, SIDE // GRID).mean((0, 2, 4))
    (method,) = [method for method in tables.monitor.attributions if isinstance(method, MeanRoiAll)]
    found = method(tables.module.student, torch.zeros(2, 1, SIDE, SIDE))
    np.testing.assert_allclose(found, np.stack([expected, expected]), rtol=1e-6)
    for frame in (tables.test, tables.regions):
        own = frame[(frame["attribution"] == "mean_roi_all") & (frame["area"] > 0)]
        y, x = np.unravel_index(expected.argmax(), expected.shape)
        hits = {f"study/{row}": union(row)[int(y) * 8 + 4, int(x) * 8 + 4] for row in (0, 2, 5)}
        best = own.groupby("sample_id")["pointing_game"].max()
        assert best.to_dict() == hits


def test_means_are_logged_beside_those_of_regions(tables: Tables) -> None:
    logged: dict[str, Tensor] = tables.trainer.callback_metrics
    for name, rows in tables.test.groupby("attribution"):
        for score in score_columns(rows):
            if rows[score].notna().any():
                assert logged[f"test/{name}/union/{score}"].item() == pytest.approx(rows[score].mean())
        assert logged[f"test/{name}/union/num_roi"] == 3
        assert logged[f"test/{name}/union/num_undefined"] == 0
    assert logged["test/rollout/num_roi"] == 5
    strata = pd.read_csv(tables.folder.union_strata("test"))
    pd.testing.assert_frame_equal(strata, stratified(tables.test), check_dtype=False)
    assert set(strata["stratum"]) == {"area"}


def test_neither_order_nor_batch_size_changes_unions(tables: Tables, tmp_path: Path) -> None:
    other = Tables(tmp_path, batch_size=2, order=-1)
    pd.testing.assert_frame_equal(tables.test, other.test, atol=1e-5)
    assert tables.monitor.state_dict()["union_thresholds"] == other.monitor.state_dict()["union_thresholds"]


@st.composite
def regions(draw: st.DrawFn) -> tuple[list[int], NDArray[np.bool_], dict[str, NDArray[np.float32]]]:
    """Draw regions of up to three images, of which some are empty, and what is known of each."""
    images = sorted(draw(st.lists(st.integers(0, 2), min_size=1, max_size=6)))
    mask = np.array(draw(st.lists(st.integers(0, 15), min_size=len(images), max_size=len(images))))
    bits = ((mask[:, None] >> np.arange(4)) & 1).astype(np.bool_).reshape(-1, 2, 2)
    value = st.sampled_from([0.0, 1.0, np.nan])
    three = st.lists(value, min_size=len(images), max_size=len(images))
    known = {name: np.array(draw(three), np.float32) for name in ("target", "recognised")}
    known["probability"] = np.arange(len(images), dtype=np.float32)[::-1].copy()
    return images, bits, known


def any_of(values: list[float]) -> float:
    if 1.0 in values:
        return 1.0
    return float("nan") if any(np.isnan(values)) else 0.0


@given(regions())
def test_what_is_known_of_a_union(drawn: tuple[list[int], NDArray[np.bool_], dict[str, NDArray[np.float32]]]) -> None:
    images, mask, known = drawn
    unions = unions_of(torch.tensor(mask), torch.tensor(images))
    columns: Columns = {"sample_id": [f"s{i}" for i in images], "finding": [f"f{i}" for i in range(len(images))]}
    columns |= {name: torch.tensor(value) for name, value in known.items()}
    columns |= {"num_regions": torch.arange(len(images)) + 1, "stratum/view": [f"v{i}" for i in images]}
    found: dict[str, Any] = dict(union_columns(columns, unions))
    assert list(found) == list(columns)
    members = {i: [row for row, own in enumerate(images) if own == i and mask[row].any()] for i in range(3)}
    members = {i: rows for i, rows in members.items() if rows}
    assert unions.image[unions.place].tolist() == list(members)
    joined = sum(len(rows) > 1 for rows in members.values())
    assert len(unions.mask) == len(unions.image) == len(images) + joined  # no mask is scored twice
    np.testing.assert_array_equal(unions.mask[: len(images)], mask)
    assert found["finding"] == ["any"] * len(members)
    assert found["sample_id"] == [f"s{i}" for i in members]
    assert found["stratum/view"] == [f"v{i}" for i in members]
    for place, rows in enumerate(members.values()):
        np.testing.assert_array_equal(unions.mask[unions.place[place]], mask[rows].any(0))
        assert found["probability"][place] == known["probability"][rows].max()
        assert found["num_regions"][place] == sum(row + 1 for row in rows)
        for name in ("target", "recognised"):
            expected = any_of(known[name][rows].tolist())
            np.testing.assert_equal(float(found[name][place]), expected)


def areas(monitor: LocalizationMonitor) -> tuple[float, float]:
    own = [
        next(score.area for score in scores if isinstance(score, IoU) and score.name == "iou_top_area")
        for scores in (monitor.scores, monitor.union_scores)
    ]
    return own[0], own[1]


@pytest.mark.parametrize(
    ("options", "of_data", "expected"),
    [
        ({}, {"roi_area": 0.3, "roi_union_area": 0.4}, (0.3, 0.4)),
        ({}, {"roi_area": 0.3, "roi_union_area": None}, (0.3, 0.3)),
        ({}, {}, (0.1, 0.1)),
        ({"top_area": 0.2}, {"roi_area": 0.3, "roi_union_area": 0.4}, (0.2, 0.4)),
        ({"union_top_area": 0.5}, {"roi_area": 0.3, "roi_union_area": 0.4}, (0.3, 0.5)),
        ({"scores": [IoU("top_area", 0.6)]}, {"roi_area": 0.3, "roi_union_area": 0.4}, (0.6, 0.6)),
        ({"scores": [IoU("top_area", 0.6)], "union_top_area": 0.7}, {}, (0.6, 0.7)),
    ],
)
def test_the_area_of_a_union_is_that_of_the_data_unless_it_is_given(
    options: dict[str, Any], of_data: dict[str, Any], expected: tuple[float, float]
) -> None:
    monitor, data = LocalizationMonitor(**options), MemoryData(make_samples())
    for name, value in of_data.items():
        setattr(data, name, value)
    monitor.setup(type("Fake", (), {"datamodule": data})(), StudentModule(), "test")
    assert areas(monitor) == expected


def test_the_epochs_of_a_fit_have_the_baseline_maps_of_its_first(tmp_path: Path) -> None:
    monitor = LocalizationMonitor([AttentionRollout(), ImageIntensity()], scores=[PointingGame(), IoU("otsu")])
    frames: list[pd.DataFrame] = []

    class Keeping(StudentModule):
        def on_validation_end(self) -> None:
            frames.append(monitor.union_tables["val"])

    make_trainer(tmp_path, [monitor], max_epochs=2, num_sanity_val_steps=0).fit(
        Keeping(), datamodule=MemoryData(make_samples())
    )
    first, last = (frame.set_index(list(KEY)) for frame in frames)
    baseline = last.index.get_level_values("attribution") == "image_intensity"
    assert baseline.sum() == 3
    pd.testing.assert_frame_equal(
        first[baseline].drop(columns="probability"), last[baseline].drop(columns="probability")
    )
    assert (first[baseline]["probability"] != last[baseline]["probability"]).all()  # what is known is of the epoch
    assert not first[~baseline]["prefix_mass"].equals(last[~baseline]["prefix_mass"])


def test_attributions_of_a_finding_leave_the_table_of_unions_empty(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [LocalizationMonitor([GradCAM()], [])])
    trainer.test(StudentModule(), datamodule=MemoryData(make_samples()), verbose=False)
    assert pd.read_parquet(tmp_path / "roi_union_test.parquet").empty
    check_unions(RunFolder(tmp_path), "test")


def test_checkpoints_and_folders_of_an_older_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"older version, which had none\. Train again in another folder") as error:
        LocalizationMonitor().load_state_dict({"thresholds": {}, "mean_roi": {}})
    assert "\n" not in str(error.value)
    folder = RunFolder(tmp_path)
    check_unions(folder, "test")  # nothing was scored
    write_table(pd.DataFrame({"finding": ["Mass"]}), folder.rois("test"))
    with pytest.raises(ValueError, match=r"roi_union_test\.parquet' beside 'roi_test\.parquet' but") as error:
        check_unions(folder, "test")
    assert "\n" not in str(error.value)
    write_table(pd.DataFrame({"finding": ["any"]}), folder.unions("test"))
    check_unions(folder, "test")
