"""Fold the normalisation that pretrained weights expect into the patch embedding, for grey images of one channel."""

import torch
from torch import nn


def fold_normalisation(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], input_mean: float, input_std: float
) -> None:
    """Replace the patch embedding of three channels by one of a single channel with the same output, in place.

    The weights expect a grey value u in all channels, as (u - mean_c) / std_c; the new convolution takes x = (u - input_mean)
    / input_std. With u = input_mean + input_std x, its weight is the sum over c of input_std w_c / std_c, and its bias grows by
    the sum of w_c (input_mean - mean_c) / std_c over channels and kernel. Adding the channels up without it, as is usual, is
    exact only if all of them have the mean and the standard deviation of the input.

    Args:
        model: A timm vision transformer with pretrained weights and `patch_embed.proj`.
        mean: Mean of each channel that the weights expect, for grey values in [0, 1].
        std: Standard deviations.
        input_mean: Mean that grey values in [0, 1] are normalised with.
        input_std: Standard deviation.

    Raises:
        ValueError: If the patch embedding is no single convolution without padding: at the border, the padding of the old and
            of the new input would differ.
    """
    conv = model.patch_embed.proj  # type: ignore[union-attr]
    if not isinstance(conv, nn.Conv2d) or any(int(p) for p in conv.padding):
        raise ValueError(
            "Expected a patch embedding of one convolution without padding to load pretrained weights for grey images, but "
            f"this model has {type(conv).__name__}. Choose another model, or pretrained weights with in_chans=1."
        )
    weight = conv.weight.detach()
    shape = (1, len(mean), 1, 1)
    scale = weight.new_tensor(std).reshape(shape)
    shift = (input_mean - weight.new_tensor(mean).reshape(shape)) / scale
    model.patch_embed.proj = grey_convolution(conv)  # type: ignore[union-attr]
    with torch.no_grad():
        model.patch_embed.proj.weight.copy_((input_std * weight / scale).sum(1, keepdim=True))  # type: ignore[union-attr]
        bias = (weight * shift).sum((1, 2, 3))
        model.patch_embed.proj.bias.copy_(bias if conv.bias is None else conv.bias + bias)  # type: ignore[union-attr]


def grey_convolution(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution of one input channel, with a bias, and otherwise as the given one."""
    return nn.Conv2d(1, conv.out_channels, conv.kernel_size, conv.stride)  # type: ignore[arg-type]
