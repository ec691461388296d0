"""Scores against float64 NumPy: whatever the scale and the offset of a map, its ties, and where it is constant."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from mmpkd.attribution import AttentionRollout, LastLayerAttention, RecordedAttention, TokenLayout, attention_relevance
from mmpkd.attribution.recording.attention import record_attention
from mmpkd.attribution.recording.blocks import WholeAttention
from mmpkd.metrics import (
    ContrastToNoise,
    HeatmapPairs,
    IoU,
    MeanIoU,
    PixelAUROC,
    PixelAveragePrecision,
    PointingGame,
    RelevanceMass,
    RelevanceRank,
    Rois,
    contrast_to_noise,
    default_scores,
    relevance_mass,
)
from mmpkd.metrics.iou import BIOVIL_THRESHOLDS
from mmpkd.numerics.precision import are_products_exact, exact_products

Values = NDArray[np.float64]
Region = NDArray[np.bool_]


def interpolation(patches: int, pixels: int) -> Values:
    """Return the matrix (pixels, patches) of linear interpolation with pixel centres aligned."""
    place = np.clip((np.arange(pixels) + 0.5) * patches / pixels - 0.5, 0, patches - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(place[:, None] - np.arange(patches))), dtype=np.float64)


def cnr(values: Values, region: Region) -> float:
    inside, outside = values[region], values[~region]
    spread = inside.var() + outside.var()
    is_flat = spread < 1e-12 * np.ptp(values) ** 2 or np.ptp(values) == 0
    return np.nan if is_flat else float((inside.mean() - outside.mean()) / np.sqrt(spread))


def mass(values: Values, region: Region) -> float:
    positive = values.clip(0)
    return float(positive[region].sum() / positive.sum()) if positive.any() else np.nan


def auroc(values: Values, region: Region) -> float:
    inside, outside = values[region][:, None], values[~region]
    return float((inside > outside).mean() + (inside == outside).mean() / 2)


def precision(values: Values, region: Region) -> float:
    chosen = [values >= value for value in values[region]]
    return float(np.mean([region[above].mean() for above in chosen]))


def top_hits(values: Values, region: Region, num: int) -> float:
    """Return how many of the `num` largest are inside; of ties at the border, the expected share."""
    border = np.sort(values, axis=None)[-num]
    above, tied = values > border, values == border
    return float(region[above].sum() + (num - above.sum()) * region[tied].mean())


def iou_of(hits: float, num: float, region: Region) -> float:
    return float(hits / (num + region.sum() - hits))


def iou_above(values: Values, region: Region, threshold: float) -> float:
    if np.ptp(values) == 0:
        return float(region.mean())
    selected = (values - values.min()) / np.ptp(values) > threshold + 1e-9
    return iou_of((selected & region).sum(), selected.sum(), region)


def draw(seed: int, num_levels: int, offset: int, exponent: int) -> tuple[Values, torch.Tensor, np.random.Generator]:
    """Return maps of a few integer levels, and the same in float32 on another scale."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, num_levels, (3, 4, 5)).astype(float) + offset
    return levels, torch.tensor(levels * 10.0**exponent, dtype=torch.float32), rng


MAPS = {
    "seed": st.integers(0, 2**31),
    "num_levels": st.integers(1, 6),
    "offset": st.sampled_from([-7, -2, 0, 3, 100]),
    "exponent": st.integers(-30, 30),
}


@given(**MAPS)
@settings(max_examples=60)
def test_sums_over_interpolated_maps_equal_float64(seed: int, num_levels: int, offset: int, exponent: int) -> None:
    levels, heatmap, rng = draw(seed, num_levels, offset, exponent)
    region = rng.random((3, 12, 17)) < np.array([0.05, 0.4, 0.9])[:, None, None]
    region[:, 0, 0], region[:, 0, 1] = True, False
    pixels = [interpolation(4, 12) @ image @ interpolation(5, 17).T for image in levels]
    mask = torch.tensor(region)
    expected = [cnr(*pair) for pair in zip(pixels, region, strict=True)]
    np.testing.assert_allclose(contrast_to_noise(heatmap, mask), expected, rtol=1e-3, atol=1e-4)
    expected = [mass(*pair) for pair in zip(pixels, region, strict=True)]
    np.testing.assert_allclose(relevance_mass(heatmap, mask), expected, rtol=1e-4)


@given(**MAPS)
@settings(max_examples=60)
def test_ranks_ties_and_thresholds_are_exact(seed: int, num_levels: int, offset: int, exponent: int) -> None:
    levels, heatmap, rng = draw(seed, num_levels, offset, exponent)
    region = rng.random((3, 4, 5)) < np.array([0.1, 0.4, 0.8])[:, None, None]
    region[:, 0, 0], region[:, 0, 1] = True, False
    pairs = HeatmapPairs(heatmap, Rois(torch.tensor(region)))
    both = list(zip(levels, region, strict=True))
    expected: dict[Any, list[float]] = {
        PixelAUROC(): [auroc(*pair) for pair in both],
        PixelAveragePrecision(): [precision(*pair) for pair in both],
        RelevanceRank(): [top_hits(v, r, int(r.sum())) / r.sum() for v, r in both],
        PointingGame(): [float(r[v == v.max()].mean()) for v, r in both],
        IoU(0.5): [iou_above(v, r, 0.5) for v, r in both],
        MeanIoU(): [float(np.mean([iou_above(v, r, t) for t in BIOVIL_THRESHOLDS])) for v, r in both],
    }
    for score, values in expected.items():
        np.testing.assert_allclose(score.score(pairs), values, rtol=1e-5, atol=1e-6, err_msg=score.name)
    is_flat = np.ptp(levels, axis=(1, 2)) == 0
    top = [iou_of(top_hits(v, r, 6), 6, r) for v, r in both]
    np.testing.assert_allclose(
        IoU("top_area", 0.3).score(pairs), np.where(is_flat, region.mean((1, 2)), top), rtol=1e-5
    )


@given(plateau=st.floats(0.05, 1), base=st.floats(-1e3, 1e3), scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e30]))
@settings(max_examples=40)
def test_interpolation_does_not_split_a_plateau(plateau: float, base: float, scale: float) -> None:
    heatmap = torch.zeros(1, 7, 7)
    heatmap[0, 0, 0], heatmap[0, 3:, :] = 1, plateau
    heatmap = (heatmap + base) * scale
    levels = HeatmapPairs(heatmap, Rois(torch.ones(1, 50, 50, dtype=torch.bool))).levels.reshape(50, 50)
    assert len(levels[26:].unique()) == 1


@pytest.mark.parametrize("level", [0.3, 0.6, 0.9])
def test_a_small_spread_around_a_large_mean_is_kept(level: float) -> None:
    rng = np.random.default_rng(0)
    region = rng.random((1, 512, 512)) < 0.2
    region[0, 0, :2] = False
    values = level + 1e-4 * rng.standard_normal(region.shape) + 5e-4 * region
    values[0, 0, :2] = 0, 1  # give the map its range
    heatmap = torch.tensor(values, dtype=torch.float32)
    expected = cnr(heatmap.double().numpy()[0], region[0])
    assert contrast_to_noise(heatmap, torch.tensor(region)).item() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("inside", "outside"), [(1.0, 0.0), (0.34889, 0.40172), (3e38, -3e38), (1e-30, 2e-30), (1000.1, 1000.2)]
)
def test_regions_that_are_constant_within_have_no_contrast_to_noise(inside: float, outside: float) -> None:
    mask = torch.zeros(2, 64, 64, dtype=torch.bool)
    mask[0, 5:44, 21:42] = mask[1, 30:33, 1:60] = True
    assert contrast_to_noise(torch.where(mask, inside, outside), mask).isnan().all()


def test_a_map_of_any_finite_range_leaves_its_batch_alone() -> None:
    heatmap = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    shape = heatmap[1].clone()
    heatmap[1] = (shape - 0.5) * 3e38 * 2
    assert heatmap[1].isfinite().all()
    assert (heatmap[1].max() - heatmap[1].min()).isinf()
    mask = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.3
    ordinary = torch.stack((heatmap[0], shape - 0.5, heatmap[2]))
    for score in [*default_scores(0.1), ContrastToNoise(absolute=True)]:
        found, expected = (score.score(HeatmapPairs(maps, Rois(mask))) for maps in (heatmap, ordinary))
        assert expected.isfinite().all()
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4, msg=score.name)


@pytest.mark.parametrize("scale", [1e-300, 1e-60, 1e60, 1e300])
def test_a_map_in_float64_may_lie_beyond_float32(scale: float) -> None:
    shape = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.3
    heatmap = torch.stack((shape[0] * scale, shape[1]))
    for score in [*default_scores(0.1), ContrastToNoise()]:
        found, expected = (score.score(HeatmapPairs(maps, Rois(mask))) for maps in (heatmap, shape))
        assert expected.isfinite().all()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5, msg=score.name)


@pytest.mark.parametrize("value", [3e38, 1e-38, 1.0])
def test_the_mass_of_a_constant_map_is_the_area_whatever_its_value(value: float) -> None:
    mask = torch.rand(2, 40, 40, generator=torch.Generator().manual_seed(0)) < 0.3
    torch.testing.assert_close(
        RelevanceMass().score(HeatmapPairs(torch.full((2, 3, 3), value), Rois(mask))), Rois(mask).area
    )


class NoMatrixProducts(TorchDispatchMode):
    """Fails at a matrix product, which the user's precision settings may round."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not {"mm", "bmm", "addmm", "baddbmm", "mv", "dot"} & {func.overloadpacket.__name__}
        return func(*args, **(kwargs or {}))


def test_no_precision_setting_of_matrix_products_reaches_a_score() -> None:
    heatmap, mask = torch.rand(2, 3, 3), torch.rand(2, 12, 12) < 0.5
    attention = torch.rand(2, 4, 10, 10)
    block = WholeAttention(attention[:, 0])
    recorded = RecordedAttention((block, block), attention[:, 0, 0], TokenLayout(1, (3, 3), "class", False))
    with pytest.raises(AssertionError), NoMatrixProducts():
        heatmap @ heatmap
    with NoMatrixProducts():
        for score in [*default_scores(0.1), PointingGame(2)]:
            score.score(HeatmapPairs(heatmap, Rois(mask)))
        attention_relevance([attention], [attention])
        for method in (AttentionRollout(), LastLayerAttention()):
            method.heatmap(recorded)


class ExactProducts(TorchDispatchMode):
    """Counts matrix products, and fails at one that is not of float32, or that PyTorch may compute in less."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if {"mm", "bmm", "baddbmm"} & {func.overloadpacket.__name__}:
            assert are_products_exact()
            # as PyTorch itself asks before a product on a GPU; it raises an error where settings contradict each other
            assert not torch.backends.cuda.matmul.allow_tf32
            assert {part.dtype for part in args if isinstance(part, torch.Tensor)} == {torch.float32}
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="PyTorch has one setting for all")
def test_a_precision_that_was_set_by_device_is_put_back() -> None:
    products: Any = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "tf32"
    try:
        with exact_products("cpu"):
            assert are_products_exact()
            assert not products.allow_tf32
        assert not are_products_exact()
        assert products.fp32_precision == "tf32"
    finally:
        products.fp32_precision = before


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_maps_of_queries_and_keys_are_computed_in_full_precision(precision: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, embed_dim=24, num_heads=2).eval()
    image = torch.randn(1, 3, 32, 32)
    expected = AttentionRollout()(model, image)
    torch.set_float32_matmul_precision(precision)
    try:
        for fusion in ("mean", "max"):
            recorded = record_attention(model, image, fusion)
            mode = ExactProducts()
            with mode, torch.autocast("cpu"):
                maps = [method.heatmap(recorded) for method in (AttentionRollout(fusion), LastLayerAttention(fusion))]
            assert mode.count >= 2
            if fusion == "mean":
                torch.testing.assert_close(maps[0], expected, rtol=1e-2, atol=1e-3)
        assert torch.get_float32_matmul_precision() == precision
        # what the forward pass has summed in less is not used
        sums = [vars(block)["_log_sum_exp"] for block in record_attention(model, image).blocks]
        assert [part is None for part in sums] == [precision != "highest"] * 2
    finally:
        torch.set_float32_matmul_precision("highest")
