"""Patches cover exactly the image, or the size is refused."""

from functools import partial
from typing import Any

import pytest
import timm
import torch
from timm.layers import HybridEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from mmpkd.attribution import AllOnes, patch_grid, resize_heatmap
from mmpkd.metrics import pointing_game
from mmpkd.students import VisionTransformerStudent

SMALL: dict[str, Any] = {"embed_dim": 8, "depth": 1, "num_heads": 2}


def hybrid(size: int) -> nn.Module:
    """Return a transformer on a convolutional backbone of stride 32, whose features are rounded up."""
    backbone = nn.Sequential(*(nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(5)))
    embed = partial(HybridEmbed, backbone=backbone)
    model: nn.Module = VisionTransformer(img_size=size, embed_layer=embed, patch_size=1, **SMALL)
    return model


def plain(size: int | tuple[int, int], **options: Any) -> nn.Module:
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=size, **SMALL, **options)
    return model


@pytest.mark.parametrize(
    ("model", "size", "alternatives"),
    [
        (plain(78), (78, 78), "a height of 64 or 80 and a width of 64 or 80"),
        (plain(100, dynamic_img_pad=True), (100, 100), "a height of 96 or 112 and a width of 96 or 112"),
        (plain(64, dynamic_img_size=True), (64, 90), "a height of 64 and a width of 80 or 96"),
        (plain((50, 70), patch_size=(16, 10)), (50, 70), "a height of 48 or 64 and a width of 70"),
        (plain(8), (8, 8), "a height of 16 and a width of 16"),
        (hybrid(100), (100, 100), "a height of 96 or 128 and a width of 96 or 128"),
    ],
)
def test_pixels_without_a_whole_patch_are_refused_with_the_next_sizes(
    model: nn.Module, size: tuple[int, int], alternatives: str
) -> None:
    with pytest.raises(ValueError, match=f"Use {alternatives}[.]"):
        AllOnes()(model, torch.zeros(1, 3, *size))


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("vit_tiny_patch16_224", 78, SMALL),
        ("vit_tiny_patch16_224", 78, {**SMALL, "dynamic_img_pad": True}),
        ("vit_tiny_patch16_224", 78, {**SMALL, "dynamic_img_size": True}),
        ("vit_nano_patch8_64", 60, {"depth": 1}),
        ("nest_tiny", 78, {}),  # timm refuses it
    ],
)
def test_such_a_student_is_not_built(name: str, size: int, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Expected .*{size}"):
        VisionTransformerStudent(name, 2, size, options=options)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (plain((48, 70), patch_size=(16, 10)), (48, 70)),
        (plain(64, dynamic_img_pad=True), (64, 64)),
        (plain(64, dynamic_img_size=True), (32, 96)),
        (VisionTransformerStudent("vit_nano_patch8_64", 2, 40, 3, options={"depth": 1}).model.eval(), (40, 40)),
    ],
)
def test_a_map_has_its_peak_where_its_patch_sees_the_image(model: nn.Module, size: tuple[int, int]) -> None:
    image = torch.randn(1, 3, *size, requires_grad=True)
    tokens = model.patch_embed(image).reshape(1, -1, model.num_features)  # type: ignore[operator]
    rows, columns = patch_grid(model, size)
    assert tokens.shape[1] == rows * columns
    (gradient,) = torch.autograd.grad(tokens[0, -1].abs().sum(), image)
    seen = gradient.abs().sum((0, 1))
    assert seen[-1].any()
    assert seen[:, -1].any()
    heatmap = torch.zeros(1, rows, columns)
    heatmap[0, -1, -1] = 1
    peak = resize_heatmap(heatmap, size)[0] == 1
    assert seen[peak].gt(0).all()
    centre = torch.zeros(1, *size, dtype=torch.bool)
    centre[0, size[0] - size[0] // rows // 2, size[1] - size[1] // columns // 2] = True
    assert pointing_game(heatmap, centre).item() == 1
