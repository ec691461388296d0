import timm
import torch
from torch import nn

import mmpkd.students  # noqa: F401  registers the model


def token_centres(patch_embed: nn.Module, size: int) -> torch.Tensor:
    """Return where each token looks, (N, 2) as (y, x) in pixels with centres at i + 0.5: its gradient's centre of mass."""
    image = torch.randn(1, 1, size, size, requires_grad=True)
    tokens = patch_embed(image)
    position = torch.arange(size) + 0.5
    centres = []
    for token in range(tokens.shape[1]):
        (gradient,) = torch.autograd.grad(tokens[0, token].sum(), image, retain_graph=True)
        weight = gradient[0, 0].abs()
        centres.append(torch.stack([(weight.sum(1) * position).sum(), (weight.sum(0) * position).sum()]) / weight.sum())
    return torch.stack(centres)


def linearise(stem: nn.Module) -> None:
    """Make the gradient independent of the input: positive equal weights, no ReLU."""
    for module in stem.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.1)
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.BatchNorm2d):
                setattr(module, name, nn.Identity())


def test_tokens_look_at_the_centres_of_their_patches() -> None:
    patch_embed = timm.create_model("vit_nano_patch8_64", in_chans=1).patch_embed.eval()
    linearise(patch_embed)
    centres = token_centres(patch_embed, 64).reshape(8, 8, 2)
    expected = torch.arange(8) * 8 + 4.0
    inner = slice(1, -1)  # at the border, padding pulls the centre inwards
    torch.testing.assert_close(centres[inner, inner, 0], expected[inner, None].expand(6, 6), atol=1e-3, rtol=0)
    torch.testing.assert_close(centres[inner, inner, 1], expected[None, inner].expand(6, 6), atol=1e-3, rtol=0)


def test_it_is_a_timm_model_of_any_size() -> None:
    model = timm.create_model("vit_nano_patch8_64", in_chans=1, num_classes=5, img_size=96, depth=2)
    assert model(torch.zeros(2, 1, 96, 96)).shape == (2, 5)
    assert len(model.blocks) == 2
    assert model.patch_embed.grid_size == (12, 12)
