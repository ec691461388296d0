from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmpkd.attribution import (
    AttentionMethod,
    AttentionRecorder,
    AttentionRelevance,
    AttentionRollout,
    GradCAM,
    LastLayerAttention,
    prefix_mass,
    record_attention,
)
from mmpkd.attribution.last_layer import attention_heads
from mmpkd.attribution.recording.weights import HeadFusion, attention_call, call_weights
from mmpkd.students import VisionTransformerStudent
from tests.attribution.models import LAYOUTS, build, image_for, unfused_attention, whole_layers


def _state(model: nn.Module) -> list[tuple[bool, object, int, int]]:
    return [
        (m.training, getattr(m, "fused_attn", None), len(m._forward_hooks), len(m._forward_pre_hooks))
        for m in model.modules()
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_recording_changes_nothing(layout: str) -> None:
    model, image = build(layout), image_for(layout)
    before = _state(model)
    with torch.no_grad():
        logits = model(image)
        with AttentionRecorder(model) as recorder:
            recorded_logits = model(image)
        recorder.result(LAYOUTS[layout][1])
        assert torch.equal(logits, recorded_logits)
        assert torch.equal(logits, model(image))
    assert _state(model) == before


@pytest.mark.parametrize("layout", ["class_token", "registers", "eva02", "beit", "relative_position", "qk_norm"])
def test_layers_equal_the_materialised_softmax(layout: str) -> None:
    model, image = build(layout), image_for(layout)
    recorded = record_attention(model, image)
    assert len(recorded.blocks) == 3
    expected = [attention.mean(1) for attention in unfused_attention(model, image)]
    if LAYOUTS[layout][4] == "class":
        expected[-1][:, 1:] = torch.eye(expected[-1].shape[-1])[1:]  # the head does not read what these rows gave
    for layer, reference in zip(whole_layers(recorded), expected, strict=True):
        torch.testing.assert_close(layer.double(), reference, atol=1e-5, rtol=0)
        torch.testing.assert_close(layer.sum(-1), torch.ones_like(layer[..., 0]))


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("fused_attn", [True, False])
def test_head_fusion_with_and_without_fused_attention(fusion: HeadFusion, fused_attn: bool) -> None:
    model, image = build("class_token"), image_for("class_token")
    expected = [_fuse(a, fusion) for a in unfused_attention(model, image)]
    if fused_attn:
        expected[-1][:, 1:] = torch.eye(10)[1:]
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = fused_attn  # type: ignore[assignment]
    for layer, reference in zip(whole_layers(record_attention(model, image, fusion)), expected, strict=True):
        torch.testing.assert_close(layer.double(), reference, atol=1e-5, rtol=0)


def _fuse(attention: Tensor, fusion: HeadFusion) -> Tensor:
    return {"mean": attention.mean(1), "max": attention.amax(1), "min": attention.amin(1)}[fusion]


@pytest.mark.parametrize("layout", ["beit", "class_token"])
def test_rows_select_samples(layout: str) -> None:
    model, image = build(layout), image_for(layout, 4)
    rows = torch.tensor([3, 1])
    with torch.no_grad(), AttentionRecorder(model, rows=rows) as recorder:
        model(image)
    recorded, of_all = recorder.result((48, 48)), record_attention(model, image)
    for layer, expected in zip(whole_layers(recorded), whole_layers(of_all), strict=True):
        torch.testing.assert_close(layer, expected[rows])
    assert torch.equal(AttentionRollout().heatmap(recorded), AttentionRollout().heatmap(of_all)[rows])


def test_state_is_restored_after_an_exception() -> None:
    model, image = build("class_token"), image_for("class_token")
    model.train()
    model.blocks[1].eval()  # type: ignore[index,union-attr]
    before, calls = _state(model), F.scaled_dot_product_attention

    def fail(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        del module, args
        raise RuntimeError("on purpose")

    hook = model.blocks[2].register_forward_pre_hook(fail)  # type: ignore[index,union-attr]
    with pytest.raises(RuntimeError, match="on purpose"):
        record_attention(model, image)
    hook.remove()
    assert _state(model) == before
    assert F.scaled_dot_product_attention is calls


def test_batch_norm_of_a_student_in_training_is_left_alone() -> None:
    student = VisionTransformerStudent("vit_nano_patch8_64", 2, 64).train()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    AttentionRollout()(student, torch.randn(2, 1, 64, 64))
    assert student.model.patch_embed.training
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


@pytest.mark.parametrize("passes", [0, 2])
def test_anything_but_one_forward_pass_is_an_error(passes: int) -> None:
    model, image = build("class_token"), image_for("class_token")
    with torch.no_grad(), AttentionRecorder(model) as recorder:
        for _ in range(passes):
            model(image)
    with pytest.raises(RuntimeError, match=f"Expected 3 attention calls .* recorded {3 * passes}"):
        recorder.result((48, 48))


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "pvt_v2_b0", "twins_svt_small", "resnet18"])
def test_other_architectures_are_refused_by_name(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    with pytest.raises(TypeError, match=f"got {type(model).__name__}.*VisionTransformer.*windowed.*GradCAM"):
        AttentionRollout()(model, torch.zeros(1, 3, 224, 224))


def test_differential_attention_is_refused() -> None:
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=48, embed_dim=32, depth=2, num_heads=2, attn_layer="diff"
    )
    with pytest.raises(RuntimeError, match="Differential attention"):
        AttentionRollout()(model, torch.randn(1, 3, 48, 48))


@pytest.mark.parametrize("pool", ["max", "avgmax"])
def test_max_pooling_is_refused(pool: str) -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=48, embed_dim=32, depth=2, num_heads=2, global_pool=pool)
    with pytest.raises(ValueError, match=f"has '{pool}'"):
        AttentionRollout()(model, torch.randn(1, 3, 48, 48))


def test_map_pooling_without_fused_attention_is_an_error() -> None:
    model, image = build("map_pooling"), image_for("map_pooling")
    model.attn_pool.fused_attn = False  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="Expected 4 attention calls"):
        record_attention(model, image)


@pytest.mark.parametrize("in_place", [True, False])
def test_compiled_models_are_recorded(in_place: bool) -> None:
    model, image = build("class_token"), image_for("class_token")
    expected = AttentionRollout()(model, image)
    compiled: nn.Module = model
    if in_place:
        model.compile(backend="eager")
    else:
        compiled = torch.compile(model, backend="eager")  # type: ignore[assignment]
    with torch.no_grad():
        compiled(image)
    assert torch.equal(AttentionRollout()(compiled, image), expected)


def test_autocast_records_in_float32() -> None:
    model, image = build("class_token"), image_for("class_token")
    expected = record_attention(model, image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        recorded = record_attention(model, image)
        heatmaps = [AttentionRollout()(model, image), LastLayerAttention()(model, image)]
    assert [heatmap.dtype for heatmap in heatmaps] == [torch.float32] * 2
    for layer, reference in zip(whole_layers(recorded), whole_layers(expected), strict=True):
        assert layer.dtype == torch.float32
        torch.testing.assert_close(layer.sum(-1), torch.ones_like(layer[..., 0]))
        # the model itself is in bfloat16 and its peaked logits with it; the weights stay close on average
        assert (layer - reference).abs().mean() < 5e-3


def test_heads_of_a_block_in_which_no_token_that_is_read_attends_are_refused() -> None:
    """In CaiT's last block only the class token attends, and an average over patches reads none of that."""
    model = timm.create_model(
        "cait_xxs24_224", img_size=32, embed_dim=32, depth=1, num_heads=2, global_pool="avg"
    ).eval()
    with pytest.raises(RuntimeError, match="but only the class token does"):
        attention_heads(model, torch.zeros(1, 3, 32, 32))


def test_two_stages_of_cait_are_chained() -> None:
    torch.manual_seed(6)  # heads are mixed with random signs; with this seed none is negative everywhere
    model = timm.create_model("cait_xxs24_224", img_size=48, embed_dim=32, depth=2, num_heads=2).eval()
    image = image_for("class_token")
    heads = unfused_attention(model, image)
    patch_blocks = [a.clamp_min(0) / a.clamp_min(0).sum(-1, keepdim=True) for a in heads[:2]]
    eye = torch.eye(10, dtype=torch.float64)
    row = eye[:1].expand(2, 1, -1)
    for attention in reversed(heads[2:]):
        block = eye.repeat(2, 1, 1)
        block[:, 0] = attention.mean(1)[:, 0]
        row = row @ (0.5 * block + 0.5 * eye)
    for attention in reversed(patch_blocks):
        block = eye.repeat(2, 1, 1)
        block[:, 1:, 1:] = attention.mean(1)
        row = row @ (0.5 * block + 0.5 * eye)
    heatmap = AttentionRollout()(model, image)
    torch.testing.assert_close(heatmap.double().flatten(1), row[:, 0, 1:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mask_shape", [(4, 5), (1, 1, 4, 5), (1, 3, 4, 5), (2, 1, 4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("boolean", [True, False])
def test_masks_and_scale_of_a_call(mask_shape: tuple[int, ...], boolean: bool) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 5, 6)
    mask = torch.rand(mask_shape) > 0.3 if boolean else torch.randn(mask_shape)
    mask = mask | (torch.arange(5) == 0) if boolean else mask  # every query attends to something
    one_hot = torch.eye(5).expand(2, 3, 5, 5)  # the attention output of one-hot values is the attention itself
    expected = F.scaled_dot_product_attention(query, key, one_hot, attn_mask=mask, scale=0.7).mean(1)
    call = attention_call(query, key, one_hot, mask, 0.1, scale=0.7)
    torch.testing.assert_close(call_weights(call), expected)
    rows = torch.tensor([1])
    torch.testing.assert_close(call_weights(call.take(rows)), expected[rows])


def test_causal_attention_is_refused() -> None:
    tokens = torch.randn(1, 1, 3, 2)
    with pytest.raises(ValueError, match="causal"):
        attention_call(tokens, tokens, tokens, is_causal=True)


def test_recording_inside_another_mode_leaves_it_in_place() -> None:
    model, image = build("class_token"), image_for("class_token")
    with torch.no_grad(), _counting() as counts, AttentionRecorder(model, "max") as outer:
        with AttentionRecorder(model, "mean") as inner:
            model(image)
        model.norm(torch.zeros(1, 32))  # type: ignore[operator]
    assert counts[0] > 0
    mean, largest = whole_layers(inner.result((48, 48))), whole_layers(outer.result((48, 48)))
    assert all((high >= low - 1e-6).all() for high, low in zip(largest, mean, strict=True))


@contextmanager
def _counting() -> Iterator[list[int]]:
    from torch.overrides import TorchFunctionMode

    counts = [0]

    class Counting(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            counts[0] += 1
            return func(*args, **(kwargs or {}))

    with Counting():
        yield counts


def test_prefix_mass_is_what_the_patches_lack() -> None:
    model, image = build("registers"), image_for("registers")
    method: AttentionMethod = AttentionRollout()
    recorded = record_attention(model, image)
    expected = method.token_relevance(recorded)[:, :5].sum(1)
    torch.testing.assert_close(prefix_mass(method.heatmap(recorded)), expected)
    assert (expected > 0.1).all()


def test_a_model_of_any_size_is_recorded_at_the_size_of_the_image() -> None:
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=48, dynamic_img_size=True, embed_dim=32, depth=3, num_heads=2, num_classes=3
    ).eval()
    image = torch.randn(2, 3, 80, 32)
    attentions = [a.mean(1) for a in unfused_attention(model, image)]
    row = torch.eye(11, dtype=torch.float64)[:1].expand(2, -1)
    for attention in reversed(attentions):
        row = torch.einsum("bn,bnm->bm", row, (attention + torch.eye(11)) / 2)
    heatmap = AttentionRollout()(model, image)
    assert heatmap.shape == (2, 5, 2)
    torch.testing.assert_close(heatmap.double().flatten(1), row[:, 1:], atol=1e-5, rtol=0)
    for method in (AttentionRelevance(), GradCAM()):
        assert method.of_label(model, image, torch.tensor([0, 2])).shape == (2, 5, 2)
