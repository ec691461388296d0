import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmpkd.attribution import AttentionRollout, LastLayerAttention, attention_rollout, record_attention
from mmpkd.attribution.recording.weights import HeadFusion
from tests.attribution.models import LAYOUTS, build, image_for, start_of, unfused_attention, whole_layers


def _random_attention(seed: int, blocks: int = 3, heads: int = 2, tokens: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [(3 * torch.randn(2, heads, tokens, tokens, generator=generator)).softmax(-1) for _ in range(blocks)]


def _naive_product(attentions: list[Tensor]) -> Tensor:
    """Abnar & Zuidema's product of whole matrices, in float64."""
    eye = torch.eye(attentions[0].shape[-1], dtype=torch.float64)
    product = eye
    for attention in attentions:
        block = 0.5 * attention.double().mean(1) + 0.5 * eye
        product = (block / block.sum(-1, keepdim=True)) @ product
    return product


def _blocks(layout: str, attentions: list[Tensor]) -> list[Tensor]:
    """Join the attentions of each block of parallel attentions as further heads."""
    per_block = len(attentions) // 3
    assert per_block == (2 if layout == "parallel_things" else 1)
    return [torch.cat(attentions[i : i + per_block], dim=1) for i in range(0, len(attentions), per_block)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rollout_equals_naive_matrix_product(layout: str) -> None:
    model, image = build(layout), image_for(layout)
    _, (height, width), _, prefix, _ = LAYOUTS[layout]
    attentions = _blocks(layout, unfused_attention(model, image))
    start = start_of(layout, model, image, attentions[0].shape[-1])
    tokens = torch.einsum("bn,bnm->bm", start, _naive_product(attentions))
    patch = 14 if height == 42 else 16
    expected = tokens[:, prefix:].reshape(2, height // patch, width // patch)
    heatmap = AttentionRollout()(model, image)
    assert heatmap.dtype == torch.float32
    assert heatmap.shape == expected.shape
    torch.testing.assert_close(heatmap.double(), expected, atol=1e-5, rtol=0)
    assert expected.std() > 2e-3  # a nearly uniform map would agree with anything


@pytest.mark.parametrize("layout", ["class_token", "distilled", "average_pooling", "map_pooling"])
def test_last_layer_equals_start_row_of_last_block(layout: str) -> None:
    model, image = build(layout), image_for(layout)
    last = unfused_attention(model, image)[-1].mean(1)
    start = start_of(layout, model, image, last.shape[-1])
    expected = torch.einsum("bn,bnm->bm", start, last)[:, LAYOUTS[layout][3] :].reshape(2, 3, 3)
    torch.testing.assert_close(LastLayerAttention()(model, image).double(), expected, atol=1e-5, rtol=0)


def test_dynamic_image_size_gives_the_grid_of_the_image() -> None:
    import timm

    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=48, embed_dim=32, depth=2, num_heads=2, dynamic_img_size=True
    )
    assert AttentionRollout()(model, torch.randn(1, 3, 64, 32)).shape == (1, 4, 2)


@given(seed=st.integers(0, 2**31), fusion=st.sampled_from(["mean", "max", "min"]), discard=st.sampled_from([0.0, 0.5]))
@settings(max_examples=30)
def test_rows_sum_to_one(seed: int, fusion: HeadFusion, discard: float) -> None:
    rollout = attention_rollout(_random_attention(seed), head_fusion=fusion, discard_ratio=discard)
    torch.testing.assert_close(rollout.sum(1), torch.ones(2))
    assert (rollout >= 0).all()


@given(seed=st.integers(0, 2**31), permutation=st.permutations(range(5)))
@settings(max_examples=30)
def test_renaming_tokens_renames_the_result(seed: int, permutation: list[int]) -> None:
    attentions = _random_attention(seed)
    start = torch.rand(2, 5, generator=torch.Generator().manual_seed(seed))
    renamed = [a[:, :, permutation][:, :, :, permutation] for a in attentions]
    expected = attention_rollout(attentions, start=start)[:, permutation]
    torch.testing.assert_close(attention_rollout(renamed, start=start[:, permutation]), expected)


def test_order_of_heads_is_irrelevant_and_order_of_blocks_is_not() -> None:
    attentions = _random_attention(3)
    rollout = attention_rollout(attentions)
    torch.testing.assert_close(attention_rollout([a.flip(1) for a in attentions]), rollout)
    assert not torch.allclose(attention_rollout(attentions[::-1]), rollout, atol=1e-3)


def test_all_rows_equal_the_naive_product() -> None:
    attentions = _random_attention(4)
    product = _naive_product(attentions)
    for token in range(5):
        start = torch.zeros(5)
        start[token] = 1
        rollout = attention_rollout(attentions, start=start)
        torch.testing.assert_close(rollout.double(), product[:, token], atol=1e-6, rtol=0)


def test_uniform_attention_has_a_closed_form() -> None:
    uniform = [torch.full((1, 3, 4, 4), 0.25)] * 3
    expected = 0.5**3 * torch.tensor([[1.0, 0, 0, 0]]) + (1 - 0.5**3) / 4
    torch.testing.assert_close(attention_rollout(uniform), expected)


def test_residual_weight() -> None:
    attentions = _random_attention(5, blocks=1)
    fused = attentions[0].mean(1)
    torch.testing.assert_close(attention_rollout(attentions, residual_weight=0), fused[:, 0])
    torch.testing.assert_close(attention_rollout(attentions, residual_weight=1), torch.eye(5)[:1].expand(2, -1))
    expected = 0.8 * fused[:, 0] + 0.2 * torch.eye(5)[0]
    torch.testing.assert_close(attention_rollout(attentions, residual_weight=0.2), expected)


def test_first_block_leaves_out_earlier_ones() -> None:
    attentions = _random_attention(6)
    assert torch.equal(attention_rollout(attentions, first_block=1), attention_rollout(attentions[1:]))


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
def test_head_fusion(fusion: HeadFusion) -> None:
    attentions = _random_attention(7, blocks=2)
    fused = [{"mean": a.mean(1), "max": a.amax(1), "min": a.amin(1)}[fusion] for a in attentions]
    expected = attention_rollout(fused)
    torch.testing.assert_close(attention_rollout(attentions, head_fusion=fusion), expected)


def test_discard_ratio_drops_the_smallest_weights_of_each_row() -> None:
    attention = torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.25] * 4, [0.7, 0.1, 0.1, 0.1]]])
    rollout = attention_rollout([attention], discard_ratio=0.5)
    # row 0 keeps 0.3 and 0.4; with the residual (1) it sums to 1.7
    torch.testing.assert_close(rollout, torch.tensor([[1.0, 0, 0.3, 0.4]]) / 1.7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discard_ratio": 1.0}, "discard_ratio"),
        ({"residual_weight": -0.1}, "residual_weight"),
        ({"first_block": 3}, "first_block"),
        ({"head_fusion": "median"}, "head_fusion"),
        ({"start": torch.ones(4)}, "start"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention_rollout(_random_attention(0), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 5)])
def test_impossible_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        attention_rollout([torch.zeros(shape)])


def test_bfloat16_attention_is_multiplied_in_float32() -> None:
    attentions = [a.bfloat16() for a in _random_attention(8)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rollout = attention_rollout(attentions)
    assert torch.equal(rollout, attention_rollout([a.float() for a in attentions]))


def test_class_rollout_of_a_model_uses_its_options() -> None:
    model, image = build("class_token"), image_for("class_token")
    recorded = record_attention(model, image)
    expected = attention_rollout(whole_layers(recorded), start=recorded.start, residual_weight=0.1, first_block=2)
    heatmap = AttentionRollout(residual_weight=0.1, first_block=2)(model, image)
    torch.testing.assert_close(heatmap.flatten(1), expected[:, 1:], atol=1e-6, rtol=0)
