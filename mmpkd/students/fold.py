"""Folding the normalisation that pretrained weights expect into the patch embedding, for single-channel images."""

import torch
from torch import nn


def fold_normalisation(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], input_mean: float, input_std: float
) -> None:
    """Replace the patch embedding of a model by one with a single input channel and the same output, in place.

    The pretrained weights w_c of channel c expect (u - mean_c) / std_c for a grey value u; the new convolution gets
    x = (u - input_mean) / input_std. Substituting u = input_mean + input_std x, its weight is the sum over c of
    input_std w_c / std_c, and its bias grows by the sum over channels and kernel of w_c (input_mean - mean_c) / std_c. Just
    summing the weights over channels, as is common, is exact only if every channel has the input's mean and standard deviation.

    Args:
        model: A timm vision transformer with pretrained weights and `patch_embed.proj`.
        mean: Mean of each channel that the weights expect, for grey values in [0, 1].
        std: Standard deviation of each channel.
        input_mean: Mean of the new input, for grey values in [0, 1].
        input_std: Standard deviation of the new input.

    Raises:
        ValueError: If the patch embedding is not a single convolution without padding. With padding, zeros at the border would
            mean different grey values in the old and the new input.
    """
    conv = model.patch_embed.proj  # type: ignore[union-attr]
    if not isinstance(conv, nn.Conv2d) or any(int(p) for p in conv.padding):
        raise ValueError(
            "Expected a patch embedding of one convolution without padding to adapt pretrained weights to one channel but "
            f"this model has {type(conv).__name__}. Choose another model, or do not use pretrained weights."
        )
    weight = conv.weight.detach()  # (D, C, h, w)
    shape = (1, len(mean), 1, 1)
    scale = weight.new_tensor(std).reshape(shape)
    shift = (input_mean - weight.new_tensor(mean).reshape(shape)) / scale
    model.patch_embed.proj = grey_convolution(conv)  # type: ignore[union-attr]
    with torch.no_grad():
        model.patch_embed.proj.weight.copy_((input_std * weight / scale).sum(1, keepdim=True))  # type: ignore[union-attr]
        bias = (weight * shift).sum((1, 2, 3))  # (D,)
        model.patch_embed.proj.bias.copy_(bias if conv.bias is None else conv.bias + bias)  # type: ignore[union-attr]


def grey_convolution(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution like the given one but with a single input channel and a bias."""
    return nn.Conv2d(1, conv.out_channels, conv.kernel_size, conv.stride)  # type: ignore[arg-type]
