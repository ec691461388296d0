"""Input that no map can be made of, in our own words; and number formats that change nothing."""

import math
import re

import pytest
import torch
from torch import Tensor

from mmpkd.attribution import (
    AttentionRelevance,
    AttentionRollout,
    CenterGaussian,
    ClassAttribution,
    GradCAM,
    LastLayerAttention,
    MeanRoi,
    attention_heads,
    attention_relevance,
    prefix_mass,
    record_attention,
    upsample,
)
from mmpkd.attribution.recording.weights import HeadFusion
from mmpkd.metrics import PointingGame, Rois, patch_ceiling, pointing_game
from mmpkd.metrics.faithfulness import perturbation_curves
from tests.attribution.models import build, image_for

ATTENTION = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
GRADIENT = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", [AttentionRollout(), LastLayerAttention(), AttentionRelevance(), GradCAM(), None])
def test_no_image_at_all_is_refused(method: AttentionRollout | ClassAttribution | None) -> None:
    model, image = build("class_token"), image_for("class_token")[:0]
    with pytest.raises(ValueError, match=r"Expected images .* at least one, but got \(0, 3, 48, 48\)"):
        attention_heads(model, image) if method is None else method(model, image)


@pytest.mark.parametrize("label", [torch.tensor([1.0, 0.0]), torch.tensor([1, 3]), torch.tensor([1])])
def test_labels_that_are_none_are_refused_everywhere(label: Tensor) -> None:
    model, image = build("class_token"), image_for("class_token")
    mean = MeanRoi()
    mean.learn(torch.ones(3, 3, 3), torch.ones(3))
    match = re.escape(f"2 values in [0, 2] but got {label.dtype} {label.tolist()}")
    for method in (AttentionRelevance(), GradCAM(), mean):
        with pytest.raises(ValueError, match=match):
            method.of_label(model, image, label)
    with pytest.raises(ValueError, match=match if len(label) == 2 else "one label per image"):
        perturbation_curves(model, image, torch.rand(2, 3, 3), label, 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_settings_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"Expected a finite `tolerance` >= 0 .* got {value}"):
        PointingGame(value)
    with pytest.raises(ValueError, match=f"Expected a finite `sigma` > 0 but got {value}"):
        CenterGaussian(value)


def test_a_tolerance_beyond_the_image_needs_no_memory() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 0, 0] = True
    assert pointing_game(torch.rand(1, 4, 4), mask, 1e12).item() == 1


def test_rois_of_no_image_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected `image` to be int64"):
        Rois(torch.ones(1, 4, 4, dtype=torch.bool), torch.zeros(1))
    with pytest.raises(ValueError, match=r"Expected `mask` .* got torch.bool \(1, 0, 4\)"):
        Rois(torch.ones(1, 0, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"Expected `heatmap` .* got \(1, 0, 4\)"):
        pointing_game(torch.ones(1, 0, 4), torch.ones(1, 4, 4, dtype=torch.bool))


def test_maps_and_masks_without_a_pixel_or_of_numbers_are_refused() -> None:
    for shape, size in (((1, 0, 2), (4, 4)), ((1, 2, 2), (0, 4)), ((1, 1, 2, 2), (4, 4))):
        with pytest.raises(
            ValueError, match=re.escape(f"at least one patch and one pixel, but got {shape} and {size[0]} x")
        ):
            upsample(torch.zeros(shape), size)
    with pytest.raises(ValueError, match=r"Expected `mask` to be bool .* got torch.float32 \(1, 4, 4\)"):
        patch_ceiling(torch.ones(1, 4, 4), (2, 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_relevance_of_any_number_format_is_that_of_its_values_in_float32(dtype: torch.dtype) -> None:
    attention, gradient = ATTENTION.to(dtype), GRADIENT.to(dtype)
    found = attention_relevance([attention] * 2, [gradient] * 2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, attention_relevance([attention.float()] * 2, [gradient.float()] * 2))


@pytest.mark.parametrize(
    ("attention", "gradient", "start", "match"),
    [
        (ATTENTION[..., :3], GRADIENT[..., :3], None, "same shapes"),
        (ATTENTION, GRADIENT[:1], None, "same shapes"),
        (ATTENTION[0], GRADIENT[0], None, "same shapes"),
        (ATTENTION, GRADIENT, torch.ones(5), r"`start` of shape \(2, 4\) or \(4,\) but got \(5,\)"),
    ],
)
def test_shapes_of_relevance_are_checked(attention: Tensor, gradient: Tensor, start: Tensor | None, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        attention_relevance([attention], [gradient], start=start)


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("layout", ["map_pooling", "class_token"])
def test_what_the_head_reads_sums_to_one_under_every_fusion(layout: str, fusion: HeadFusion) -> None:
    recorded = record_attention(build(layout), image_for(layout), fusion)
    torch.testing.assert_close(recorded.start.sum(1), torch.ones(2))
    for method in (AttentionRollout(fusion), LastLayerAttention(fusion)):
        lost = prefix_mass(method.heatmap(recorded))
        assert (lost >= -1e-6).all()
        if layout == "map_pooling":  # no prefix token
            torch.testing.assert_close(lost, torch.zeros(2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", [AttentionRelevance(), GradCAM()], ids=["relevance", "grad_cam"])
def test_a_number_is_no_label(method: ClassAttribution) -> None:
    with pytest.raises(ValueError, match=r"^Expected `label` to be an int64 tensor with 2 values but got 1\.$"):
        method.of_label(build("class_token"), image_for("class_token"), 1)  # type: ignore[arg-type]
