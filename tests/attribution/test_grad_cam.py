"""Grad-CAM against the plain formula with autograd, in float64."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from mmpkd.attribution import GradCAM, grad_cam
from mmpkd.students import VisionTransformerStudent
from tests.attribution.models import LAYOUTS, build, image_for

LABEL = torch.tensor([2, 0])


def reference(model: nn.Module, norms: list[nn.Module], image: Tensor, prefix: int, grid: tuple[int, int]) -> Tensor:
    """Return ReLU(sum over channels of mean gradient x activation), (B, h, w) in float64."""
    model = model.double()
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        del module, args
        output.retain_grad()
        kept.append(output)

    hooks = [norm.register_forward_hook(keep) for norm in norms]
    model(image.double())[torch.arange(len(image)), LABEL].sum().backward()
    total = torch.zeros(len(image), *grid, dtype=torch.float64)
    for value in kept:
        assert value.grad is not None
        tokens, gradient = (x.detach().reshape(len(image), -1, x.shape[-1])[:, prefix:] for x in (value, value.grad))
        total += (gradient.mean(1, keepdim=True) * tokens).sum(2).reshape(-1, *grid)
    for hook in hooks:
        hook.remove()
    model.zero_grad()
    model.float()
    return total.clamp_min(0)


def last_norms_of(layout: str, model: nn.Module) -> list[nn.Module]:
    block: Any = list(model.blocks)[-1]  # type: ignore[arg-type]
    if layout == "parallel_things":
        return [branch.norm for branch in block.attns]
    return [block.in_norm if layout == "parallel_scaling" else block.norm1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_equals_the_plain_formula(layout: str) -> None:
    model, image = build(layout), image_for(layout)
    _, (height, width), _, prefix, _ = LAYOUTS[layout]
    patch = 14 if height == 42 else 16
    expected = reference(model, last_norms_of(layout, model), image, prefix, (height // patch, width // patch))
    heatmap = GradCAM().of_label(model, image, LABEL)
    assert expected.max() > 0
    torch.testing.assert_close(heatmap.double() / expected.max(), expected / expected.max(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "size", "grid"),
    [
        ("swin_tiny_patch4_window7_224", 224, 7),
        ("pvt_v2_b0", 96, 3),
        ("twins_svt_small", 224, 7),
        ("cait_xxs24_224", 224, 14),
    ],
)
def test_windowed_and_reduced_attention_work(name: str, size: int, grid: int) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3).eval()
    image = torch.randn(2, 3, size, size)
    norm = [module for key, module in model.named_modules() if key.endswith("norm1")][-1]
    expected = reference(model, [norm], image, 1 if name.startswith("cait") else 0, (grid, grid))
    heatmap = GradCAM().of_label(model, image, LABEL)
    torch.testing.assert_close(heatmap.double() / expected.max(), expected / expected.max(), atol=1e-4, rtol=1e-4)


def test_a_convolutional_network_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="got ResNet"):
        GradCAM()(timm.create_model("resnet18", num_classes=2), torch.randn(1, 3, 64, 64))


def test_the_functional_form_checks_shapes() -> None:
    with pytest.raises(ValueError, match="same shape"):
        grad_cam(torch.randn(1, 2, 3, 3), torch.randn(1, 2, 3))
    ones = torch.ones(1, 1, 2, 2)
    assert torch.equal(grad_cam(torch.arange(4.0).reshape(1, 1, 2, 2), -ones), torch.zeros(1, 2, 2))


def test_a_student_inside_inference_mode_and_autocast_is_left_as_it_was() -> None:
    student = VisionTransformerStudent("vit_nano_patch8_64", 2, 64).train()
    hooks = [len(module._forward_hooks) for module in student.modules()]
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        heatmap = GradCAM()(student, torch.randn(2, 1, 64, 64))
    assert heatmap.shape == (2, 2, 8, 8)
    assert heatmap.dtype == torch.float32
    assert [len(module._forward_hooks) for module in student.modules()] == hooks
    assert all(parameter.requires_grad and parameter.grad is None for parameter in student.parameters())
    assert student.training


def test_compiled_students_run_eagerly_meanwhile() -> None:
    model, image = build("class_token"), image_for("class_token")
    expected = GradCAM().of_label(model, image, LABEL)
    model.compile(backend="eager")
    torch.testing.assert_close(GradCAM().of_label(model, image, LABEL), expected)
