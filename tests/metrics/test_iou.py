import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmpkd.attribution import resize_heatmap
from mmpkd.metrics import IoU, MeanIoU, Rois, iou, mean_iou, otsu_threshold
from mmpkd.metrics.iou import BIOVIL_THRESHOLDS, iou_above_bytes
from mmpkd.metrics.pairs import one_to_one


def _box(rows: slice, columns: slice, size: int = 20) -> Tensor:
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[0, rows, columns] = True
    return mask


ROI = _box(slice(2, 10), slice(5, 15))


def test_all_ones_score_the_area() -> None:
    ones = torch.ones(1, 20, 20)
    area = Rois(ROI).area
    assert area.item() == pytest.approx(80 / 400)
    for threshold in (0.5, "otsu", "top_area"):
        torch.testing.assert_close(iou(ones, ROI, threshold), area)
    torch.testing.assert_close(mean_iou(torch.full((1, 5, 5), 7.0), ROI), area)


@pytest.mark.parametrize("threshold", [0.5, "otsu"])
def test_two_boxes_have_a_closed_form(threshold: float) -> None:
    heatmap = _box(slice(4, 12), slice(5, 15)).float()
    assert iou(heatmap, ROI, threshold).item() == pytest.approx(60 / 100)
    assert iou(ROI.float(), ROI, threshold).item() == 1
    assert iou(_box(slice(12, 20), slice(0, 20)).float(), ROI, threshold).item() == 0


def test_threshold_is_strict() -> None:
    heatmap = torch.where(ROI, 0.6, 0.2)
    heatmap[0, 19] = torch.tensor([0.0, 1.0]).repeat(10)  # ten pixels are larger, so that the scale stays
    assert iou(heatmap, ROI, 0.6).item() == 0
    assert iou(heatmap, ROI, 0.599).item() == pytest.approx(80 / 90)
    assert iou(heatmap, ROI, 0.2).item() == pytest.approx(80 / 90)
    assert iou(heatmap, ROI, 0.199).item() == pytest.approx(80 / 390)


def test_empty_roi_is_undefined() -> None:
    empty = torch.zeros(1, 20, 20, dtype=torch.bool)
    for threshold in (0.5, "otsu", "top_area"):
        assert iou(torch.rand(1, 20, 20), empty, threshold).isnan().all()


@pytest.mark.parametrize("area", [0.0025, 0.1, 0.2, 0.5, 1.0])
def test_top_area_selects_that_many_pixels(area: float) -> None:
    heatmap = torch.randperm(400, generator=torch.Generator().manual_seed(0)).reshape(1, 20, 20) / 400
    selected = heatmap.flatten().argsort(descending=True)[: round(400 * area)]
    region = torch.zeros(400, dtype=torch.bool)
    region[selected] = True
    expected = (region & ROI.flatten()).sum() / (region | ROI.flatten()).sum()
    assert iou(heatmap, ROI, "top_area", area).item() == pytest.approx(expected.item())


def test_top_area_counts_ties_by_the_share_that_fits() -> None:
    # 10 pixels above; 40 of the 390 others fit into an eighth of the frame
    heatmap = torch.zeros(1, 20, 20)
    heatmap[0, 2, 5:15] = 1
    inside = 10 + 70 * 40 / 390
    assert iou(heatmap, ROI, "top_area", 50 / 400).item() == pytest.approx(inside / (50 + 80 - inside))


def test_random_maps_under_top_area_score_what_chance_predicts() -> None:
    heatmap = torch.rand(1000, 20, 20, generator=torch.Generator().manual_seed(0))
    mean = iou(heatmap, ROI.expand(1000, -1, -1), "top_area", 0.25).mean().item()
    q, a = 0.25, 0.2
    assert mean == pytest.approx(q * a / (q + a - q * a), abs=4e-3)


@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["uniform", "two_peaks", "few_levels", "sparse"]))
@settings(max_examples=100)
def test_otsu_equals_opencv(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    maps = {
        "uniform": rng.random((3, 17, 23)),
        "two_peaks": np.where(
            rng.random((3, 17, 23)) < 0.3, rng.normal(0.8, 0.05, 1), rng.normal(0.2, 0.1, (3, 17, 23))
        ),
        "few_levels": rng.integers(0, 4, (3, 17, 23)) / 3,
        "sparse": (rng.random((3, 17, 23)) < 0.01) * rng.random((3, 17, 23)),
    }
    heatmap = np.clip(maps[kind], 0, 1).astype(np.float32)
    eight_bit = (torch.tensor(heatmap) * 255).to(torch.uint8).numpy()
    counts = torch.stack([torch.bincount(torch.tensor(image).flatten().long(), minlength=256) for image in eight_bit])
    regions = torch.tensor(eight_bit) > otsu_threshold(counts)[:, None, None]
    for image, region in zip(eight_bit, regions.numpy(), strict=True):
        if image.min() < image.max():
            _, expected = cv2.threshold(image, 0, 1, cv2.THRESH_OTSU)
            # of two thresholds that separate equally well, either is right
            if not np.array_equal(region, expected.astype(bool)):
                variance = between_variance(image, expected.astype(bool))
                assert between_variance(image, region) == pytest.approx(variance, rel=1e-12)


def between_variance(image: np.ndarray, region: np.ndarray) -> float:
    inside, outside = image[region].astype(float), image[~region].astype(float)
    return float(inside.size * outside.size * (inside.mean() - outside.mean()) ** 2)


def test_of_two_thresholds_that_separate_equally_well_one_is_chosen() -> None:
    counts = torch.zeros(1, 256, dtype=torch.long)
    counts[0, [0, 100, 200]] = 7
    assert otsu_threshold(counts).item() in (0, 100)


def test_otsu_equals_exhaustive_search() -> None:
    heatmap = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(2)) ** 3
    values = (heatmap * 255).long().flatten()
    counts = torch.bincount(values, minlength=256)[None]
    values = values.double()

    def between(t: int) -> float:
        low, high = values[values <= t], values[values > t]
        if not len(low) or not len(high):
            return -1.0
        return float(len(low) * len(high) * (low.mean() - high.mean()) ** 2)

    assert otsu_threshold(counts).item() == max(range(256), key=between)


def test_metric_resizes_scales_and_averages() -> None:
    heatmap = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(3)) + 7
    mask = ROI.expand(3, -1, -1).clone()
    mask[2] = False
    metric = IoU("top_area", 0.2)
    metric.update(heatmap, mask)
    values = resize_heatmap(heatmap[:2], (20, 20)).flatten(1)
    regions = torch.zeros(2, 400, dtype=torch.bool).scatter_(1, values.topk(80, dim=1).indices, True).reshape(2, 20, 20)
    expected = ((regions & mask[:2]).sum((1, 2)) / (regions | mask[:2]).sum((1, 2))).mean()
    torch.testing.assert_close(metric.compute(), expected, atol=2e-3, rtol=0)  # ties in 16 bits
    assert metric.num_undefined == 1


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected `heatmap` of shape"):
        iou(torch.zeros(2, 5, 5), ROI)
    with pytest.raises(ValueError, match="otsu"):
        iou(torch.zeros(1, 20, 20), ROI, "best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="area"):
        iou(torch.rand(1, 20, 20), ROI, "top_area", 0)
    with pytest.raises(ValueError, match="thresholds"):
        MeanIoU([0.5, 1.0])


@given(seed=st.integers(0, 2**31), grid=st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_every_rule_equals_thresholding_the_image(seed: int, grid: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    heatmap = torch.rand(4, grid, grid, generator=generator) ** 3
    mask = torch.rand(4, 20, 20, generator=generator) < torch.tensor([0.02, 0.2, 0.7, 1.0]).reshape(-1, 1, 1)
    levels = (resize_heatmap(heatmap, (20, 20)) * 65535).int()

    def of(region: Tensor) -> Tensor:
        return (region & mask).sum((1, 2)) / (region | mask).sum((1, 2))

    for threshold in (0.0, 0.25, 0.5, 0.9):
        torch.testing.assert_close(iou(heatmap, mask, threshold), of(levels > threshold * 65535))
    expected = torch.stack([of(levels > t * 65535) for t in BIOVIL_THRESHOLDS]).mean(0)
    torch.testing.assert_close(mean_iou(heatmap, mask), expected)
    bytes_ = (resize_heatmap(heatmap, (20, 20)) * 255).int()
    curves = iou_above_bytes(one_to_one(heatmap, mask))
    assert curves.shape == (4, 255)
    for t in (0, 1, 100, 254):
        torch.testing.assert_close(curves[:, t], of(bytes_ > t))
    otsu = [cv2.threshold(image.numpy().astype(np.uint8), 0, 1, cv2.THRESH_OTSU)[1] for image in bytes_]
    torch.testing.assert_close(iou(heatmap, mask, "otsu"), of(torch.tensor(np.stack(otsu)) > 0))


def test_names_tell_the_rule() -> None:
    assert [IoU("otsu").name, IoU("top_area").name, IoU(0.5).name, MeanIoU().name] == [
        "iou_otsu",
        "iou_top_area",
        "iou_0.5",
        "miou",
    ]
