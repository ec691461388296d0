"""Gradient-weighted relevance against whole matrices and materialised gradients, in float64."""

import pytest
import timm
import torch
from torch import Tensor, nn

from mmpkd.attribution import AttentionRelevance, attention_relevance
from mmpkd.students import VisionTransformerStudent
from tests.attribution.models import LAYOUTS, build, image_for, start_of, unfused_attention

LABEL = torch.tensor([2, 0])


def unfused_gradients(model: nn.Module, image: Tensor, label: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return softmax and its gradient (B, H, n, m) of every attention, in float64, from the plain code path of timm."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        del module
        args[0].retain_grad()
        kept.append(args[0])

    model = model.double()
    fused = [module for module in model.modules() if getattr(module, "fused_attn", False)]
    drops = [getattr(module, "attn_drop", None) for module in model.modules()]
    hooks = [drop.register_forward_pre_hook(keep) for drop in drops if isinstance(drop, nn.Module)]
    for module in fused:
        module.fused_attn = False  # type: ignore[assignment]
    logits = model(image.double())
    logits[torch.arange(len(image)), label].sum().backward()
    for module in fused:
        module.fused_attn = True  # type: ignore[assignment]
    for hook in hooks:
        hook.remove()
    model.zero_grad()
    model.float()
    return [a.detach() for a in kept], [a.grad for a in kept if a.grad is not None]


def reference(attentions: list[Tensor], gradients: list[Tensor], start: Tensor, per_block: int = 1) -> Tensor:
    """Return start . R with whole matrices, as in the paper, (B, N); attentions of one block add up."""
    num_tokens = attentions[0].shape[-1]
    total = torch.eye(num_tokens, dtype=torch.float64).repeat(len(start), 1, 1)
    parts = [(a * g).clamp_min(0).mean(1) for a, g in zip(attentions, gradients, strict=True)]
    for first in range(0, len(parts), per_block):
        total = total + torch.stack(parts[first : first + per_block]).sum(0) @ total
    return torch.einsum("bn,bnm->bm", start, total)


# pooling attention has no dropout to hook
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "map_pooling"])
def test_the_map_of_a_finding_equals_the_paper_with_whole_matrices(layout: str) -> None:
    model, image = build(layout), image_for(layout)
    prefix = LAYOUTS[layout][3]
    attentions, gradients = unfused_gradients(model, image, LABEL)
    assert len(attentions) == len(gradients) == (6 if layout == "parallel_things" else 3)
    start = start_of(layout, model, image, attentions[0].shape[-1])
    per_block = len(attentions) // 3
    expected = (reference(attentions, gradients, start, per_block) - start)[:, prefix:]
    heatmap = AttentionRelevance().of_label(model, image, LABEL).double().flatten(1)
    assert expected.max() > 0
    torch.testing.assert_close(heatmap / expected.max(), expected / expected.max(), atol=1e-5, rtol=1e-5)


def test_map_pooling_starts_from_what_the_pooling_contributes() -> None:
    model, image = build("map_pooling"), image_for("map_pooling")
    pool = model.attn_pool
    assert isinstance(pool, nn.Module)
    attentions, gradients = unfused_gradients(model, image, LABEL)  # of the blocks
    model = model.double()
    weights: list[Tensor] = []
    original = nn.functional.scaled_dot_product_attention

    def materialised(query: Tensor, key: Tensor, value: Tensor, **_: object) -> Tensor:
        weights.append((query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1))
        weights[-1].retain_grad()
        return weights[-1] @ value

    nn.functional.scaled_dot_product_attention = materialised  # type: ignore[assignment]
    try:
        model(image.double())[torch.arange(2), LABEL].sum().backward()
    finally:
        nn.functional.scaled_dot_product_attention = original
    assert weights[-1].grad is not None
    start = (weights[-1] * weights[-1].grad).clamp_min(0).mean(1)[:, 0].detach()
    expected = reference(attentions, gradients, start)
    model.zero_grad()
    heatmap = AttentionRelevance().of_label(model.float(), image, LABEL).double().flatten(1)
    torch.testing.assert_close(heatmap, expected, atol=1e-5, rtol=1e-4)


def test_two_stages_of_cait_are_chained() -> None:
    torch.manual_seed(0)
    model = timm.create_model("cait_xxs24_224", img_size=48, embed_dim=32, depth=2, num_heads=2, num_classes=3).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gamma" in name or "qkv" in name or name.endswith(("q.weight", "k.weight")):
                parameter.normal_(std=0.4)
    image = image_for("class_token")
    attentions, gradients = unfused_gradients(model, image, LABEL)
    total = torch.eye(10, dtype=torch.float64).repeat(2, 1, 1)
    for a, g in zip(attentions, gradients, strict=True):
        step = torch.zeros(2, 10, 10, dtype=torch.float64)
        part = (a * g).clamp_min(0).mean(1)
        if part.shape[1] == 1:
            step[:, :1] = part
        else:
            step[:, 1:, 1:] = part
        total = total + step @ total
    heatmap = AttentionRelevance().of_label(model, image, LABEL)
    expected = total[:, 0, 1:]
    torch.testing.assert_close(
        heatmap.double().flatten(1) / expected.max(), expected / expected.max(), atol=1e-5, rtol=0
    )


def test_every_finding_at_once_is_each_finding_alone() -> None:
    model, image = build("class_token"), image_for("class_token")
    method = AttentionRelevance()
    together = method(model, image)
    assert together.shape == (2, 3, 3, 3)
    for k in range(3):
        torch.testing.assert_close(together[:, k], method.of_label(model, image, torch.full((2,), k)))
    assert not torch.allclose(together[:, 0], together[:, 1])


def test_the_functional_form_is_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    attentions = [torch.rand(2, 3, 5, 5, generator=generator).softmax(-1) for _ in range(4)]
    gradients = [torch.randn(2, 3, 5, 5, generator=generator) for _ in range(4)]
    start = torch.rand(2, 5, generator=generator)
    expected = reference([a.double() for a in attentions], [g.double() for g in gradients], start.double())
    torch.testing.assert_close(
        attention_relevance(attentions, gradients, start=start).double(), expected, atol=1e-5, rtol=1e-5
    )
    first = torch.eye(5)[:1].double().expand(2, -1)
    expected = reference([a.double() for a in attentions], [g.double() for g in gradients], first)
    torch.testing.assert_close(attention_relevance(attentions, gradients).double(), expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="same shapes"):
        attention_relevance(attentions, gradients[:3])
    with pytest.raises(ValueError, match="same shapes"):
        attention_relevance([a.mean(1) for a in attentions], [g.mean(1) for g in gradients])


def test_fused_and_materialised_attention_give_the_same_map() -> None:
    model, image = build("class_token"), image_for("class_token")
    expected = AttentionRelevance().of_label(model, image, LABEL)
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]
    torch.testing.assert_close(AttentionRelevance().of_label(model, image, LABEL), expected, atol=1e-6, rtol=1e-4)


def test_unknown_findings_are_refused() -> None:
    model, image = build("class_token"), image_for("class_token")
    with pytest.raises(ValueError, match=r"values in \[0, 2\]"):
        AttentionRelevance().of_label(model, image, torch.tensor([0, 3]))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_frozen_student_in_training_mode_inside_inference_mode_is_left_as_it_was() -> None:
    student = VisionTransformerStudent("vit_nano_patch8_64", 2, 64).train()
    student.model.patch_embed.requires_grad_(False)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    wanted = [parameter.requires_grad for parameter in student.parameters()]
    with torch.inference_mode():
        heatmap = AttentionRelevance().of_label(student, torch.randn(2, 1, 64, 64), torch.tensor([0, 1]))
    assert heatmap.shape == (2, 8, 8)
    assert [parameter.requires_grad for parameter in student.parameters()] == wanted
    assert all(parameter.grad is None for parameter in student.parameters())
    assert student.model.patch_embed.training
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


@pytest.mark.parametrize("in_place", [True, False])
def test_compiled_students_and_bfloat16(in_place: bool) -> None:
    model, image = build("class_token"), image_for("class_token")
    expected = AttentionRelevance().of_label(model, image, LABEL)
    compiled: nn.Module = model
    if in_place:
        model.compile(backend="eager")
    else:
        compiled = torch.compile(model, backend="eager")  # type: ignore[assignment]
    torch.testing.assert_close(AttentionRelevance().of_label(compiled, image, LABEL), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        heatmap = AttentionRelevance().of_label(compiled, image, LABEL)
    assert heatmap.dtype == torch.float32
    assert torch.corrcoef(torch.stack([heatmap.flatten(), expected.flatten()]))[0, 1] > 0.98


def test_attention_is_chained_in_float32_under_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    attentions = [torch.rand(1, 2, 9, 9, generator=generator).softmax(-1) for _ in range(3)]
    gradients = [torch.rand(1, 2, 9, 9, generator=generator) for _ in range(3)]
    expected = attention_relevance(attentions, gradients)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(attention_relevance(attentions, gradients), expected)


def test_start_row_is_untouched_by_the_reference() -> None:
    model, image = build("class_token"), image_for("class_token")
    # the reference of this file sees the attentions that the reference of rollout sees
    for first, second in zip(unfused_attention(model, image), unfused_gradients(model, image, LABEL)[0], strict=True):
        torch.testing.assert_close(first, second)
