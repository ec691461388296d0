"""Students that pad incomplete patches: padding images to whole patches, and cropping their maps back to the image."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from mmpkd.attribution.heatmap import upsample
from mmpkd.attribution.layout import backbone

Size = tuple[int, int]


def pads_to_patches(model: nn.Module) -> bool:
    """Return whether a timm model pads incomplete patches, which needs both `dynamic_img_pad` and `dynamic_img_size`.

    With `dynamic_img_pad` alone, timm has no position embeddings for the tokens added by padding.
    """
    embed: Any = getattr(model, "patch_embed", None)
    return bool(getattr(embed, "dynamic_img_pad", False)) and not getattr(embed, "strict_img_size", True)


def padded_size(student: nn.Module, size: Size) -> Size:
    """Return the height and width of an image after the student has padded it.

    Args:
        student: A student, or a timm model.
        size: Height and width of the image in pixels.

    Returns:
        Height and width in pixels; `size` itself if the student does not pad.

    Example:
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", depth=1, dynamic_img_size=True, dynamic_img_pad=True)
        >>> padded_size(model, (30, 40))
        (32, 48)
    """
    model: Any = backbone(student)
    if not pads_to_patches(model):
        return size
    rows, columns = model.patch_embed.dynamic_feat_size(size)
    height, width = model.patch_embed.patch_size
    return rows * height, columns * width


def pad_to_patches(student: nn.Module, image: Tensor) -> Tensor:
    """Pad images or masks with zeros at the bottom and on the right, as the student does internally.

    The student's output does not change, and its map covers the padded image exactly. In a mask, the padding is background, as
    with `resize: pad`.

    Args:
        student: A student, or a timm model.
        image: Tensor (..., H, W) of any type.

    Returns:
        Tensor (..., H', W') of whole patches; the image itself if the student does not pad.

    Example:
        >>> import timm
        >>> import torch
        >>> model = timm.create_model("vit_tiny_patch16_224", depth=1, dynamic_img_size=True, dynamic_img_pad=True)
        >>> pad_to_patches(model, torch.ones(1, 3, 30, 40)).shape
        torch.Size([1, 3, 32, 48])
    """
    height, width = (int(n) for n in image.shape[-2:])
    padded_height, padded_width = padded_size(student, (height, width))
    if (padded_height, padded_width) == (height, width):
        return image
    return F.pad(image, (0, padded_width - width, 0, padded_height - height))


def crop_to_image(student: nn.Module, heatmap: Tensor, size: Size) -> Tensor:
    """Return the part of a heatmap that covers the image without padding, for drawing it over the image.

    Args:
        student: The student that the heatmap belongs to.
        heatmap: Float (B, h, w) on the patch grid of the padded image.
        size: Height and width of the image before padding.

    Returns:
        Float (B, *size) in pixels; the heatmap itself, on the patch grid, if the student does not pad.

    Example:
        >>> import timm
        >>> import torch
        >>> model = timm.create_model("vit_tiny_patch16_224", depth=1, dynamic_img_size=True, dynamic_img_pad=True)
        >>> crop_to_image(model, torch.ones(1, 2, 3), (30, 40)).shape  # 2 x 3 patches are 32 x 48 pixels
        torch.Size([1, 30, 40])
    """
    padded = padded_size(student, size)
    return heatmap if padded == size else upsample(heatmap, padded)[:, : size[0], : size[1]]
