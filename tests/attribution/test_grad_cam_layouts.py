"""Grad-CAM of models that lay their activations out in other ways: the plain formula in float64, or a refusal by name."""

from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import ResPostBlock
from torch import Tensor, nn

from mmpkd.attribution import AttentionRelevance, ClassAttribution, GradCAM
from tests.attribution.models import build, image_for

LABEL = torch.tensor([2, 0])
VIT: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}
WINDOWS: dict[str, Any] = {"img_size": 64, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
NARROW: dict[str, Any] = {"img_size": 64, "init_channels": 8, "embed_dim": 32, "depth": (0, 1, 1), "num_heads": 2}
# timm name, options, image size, module, whether its input counts (norms after the attention), axes, prefix tokens
RIGHT: list[tuple[str, dict[str, Any], int, str, bool, str, int]] = [
    ("vit_tiny_patch16_224", {**VIT, "img_size": 48, "block_fn": ResPostBlock}, 48, "blocks.1", True, "bnc", 1),
    ("eva02_tiny_patch14_224", {**VIT, "img_size": 42, "use_post_norm": True}, 42, "blocks.1", True, "bnc", 1),
    ("swinv2_tiny_window8_256", WINDOWS, 64, "layers.1.blocks.0", True, "bhwc", 0),
    ("swinv2_cr_tiny_224", WINDOWS, 64, "stages.1.blocks.0", True, "bhwc", 0),
    ("swin_tiny_patch4_window7_224", WINDOWS, 64, "layers.1.blocks.0.norm1", False, "bhwc", 0),
    ("visformer_tiny", NARROW, 64, "stage3.0.norm1", False, "bchw", 0),
    ("test_coatnet", {"img_size": 64}, 64, "stages.3.blocks.0.norm1", False, "bchw", 0),
]


def plain_formula(model: nn.Module, image: Tensor, path: str, of_input: bool, axes: str, prefix: int) -> Tensor:
    """Return ReLU(sum over channels of mean gradient x activation), float64 (B, h, w)."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        del module
        kept.append(args[0] if of_input else output)

    handle = model.double().get_submodule(path).register_forward_hook(keep)
    logits = model(image.double())
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[torch.arange(len(image)), LABEL].sum(), kept[0])
    model.float()
    if axes == "bchw":
        return torch.einsum("bchw,bc->bhw", kept[0], gradient.mean((2, 3))).clamp_min(0).detach()
    if axes == "bhwc":
        return torch.einsum("bhwc,bc->bhw", kept[0], gradient.mean((1, 2))).clamp_min(0).detach()
    flat = torch.einsum("bnc,bc->bn", kept[0][:, prefix:], gradient[:, prefix:].mean(1))
    side = round(flat.shape[1] ** 0.5)
    return flat.reshape(-1, side, side).clamp_min(0).detach()


@pytest.mark.parametrize(("name", "options", "size", "path", "of_input", "axes", "prefix"), RIGHT)
def test_every_layout_equals_the_plain_formula(
    name: str, options: dict[str, Any], size: int, path: str, of_input: bool, axes: str, prefix: int
) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **options).eval()
    image = torch.randn(2, 3, size, size)
    expected = plain_formula(model, image, path, of_input, axes, prefix)
    heatmap = GradCAM().of_label(model, image, LABEL)
    assert expected.max() > 0
    torch.testing.assert_close(heatmap.double() / expected.max(), expected / expected.max(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "size", "error", "match"),
    [
        ("nest_tiny", {"img_size": 64}, 64, RuntimeError, r"4 x 4 patches .* Nest, .* got \(1, 1, 16, 384\)"),
        ("mobilevitv2_050", {}, 64, RuntimeError, r"2 x 2 patches .* ByobNet, .* got \(1, 128, 4, 1\)"),
        (
            "pit_ti_224",
            {"img_size": 64},
            64,
            RuntimeError,
            r"2 x 2 patches .* PoolingVisionTransformer, .* \(1, 5, 256\)",
        ),
        (
            "swin_tiny_patch4_window7_224",
            {**WINDOWS, "img_size": 60},
            60,
            ValueError,
            "whole patches of 8 x 8 .* got 60 x 60",
        ),
    ],
)
def test_what_is_not_one_vector_a_patch_is_refused(
    name: str, options: dict[str, Any], size: int, error: type[Exception], match: str
) -> None:
    model = timm.create_model(name, num_classes=2, **options).eval()
    with pytest.raises(error, match=match):
        GradCAM().of_label(model, torch.randn(1, 3, size, size), torch.tensor([1]))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("densenet121", "DenseNet"),
        ("resnetv2_18", "ResNetV2"),
        ("poolformer_s12", "MetaFormer"),
        ("focalnet_tiny_srf", "FocalNet"),
        ("swiftformer_xs", "SwiftFormer"),
    ],
)
def test_models_without_a_norm_before_an_attention_are_refused(name: str, found: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=2)
    with pytest.raises(TypeError, match=f"a norm and an attention in its blocks but got {found}"):
        GradCAM().of_label(model, torch.empty(1, 3, 64, 64, device="meta"), torch.tensor([1]))


@pytest.mark.parametrize("method", [GradCAM(), AttentionRelevance()], ids=lambda method: str(method.name))
def test_gradient_checkpointing_changes_nothing_and_stays_on(method: ClassAttribution) -> None:
    model: Any = build("class_token")
    image = image_for("class_token")
    expected = method.of_label(model, image, LABEL)
    model.set_grad_checkpointing(True)
    assert torch.equal(method.of_label(model, image, LABEL), expected)
    assert model.grad_checkpointing is True
