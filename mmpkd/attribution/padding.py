"""Students that fill up incomplete patches: maps of the padded image, and back to the image itself."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from mmpkd.attribution.heatmap import upsample
from mmpkd.attribution.layout import backbone

Size = tuple[int, int]


def pads_to_patches(model: nn.Module) -> bool:
    """Return whether a timm model fills up incomplete patches: `dynamic_img_pad`, together with `dynamic_img_size`.

    Without `dynamic_img_size`, timm has no position embedding for the tokens that padding adds.
    """
    embed: Any = getattr(model, "patch_embed", None)
    return bool(getattr(embed, "dynamic_img_pad", False)) and not getattr(embed, "strict_img_size", True)


def padded_size(student: nn.Module, size: Size) -> Size:
    """Return the height and width that an image has once the student has filled up its patches.

    Args:
        student: A student, or a timm model.
        size: Height and width of the image.
    """
    model: Any = backbone(student)
    if not pads_to_patches(model):
        return size
    rows, columns = model.patch_embed.dynamic_feat_size(size)
    height, width = model.patch_embed.patch_size
    return rows * height, columns * width


def pad_to_patches(student: nn.Module, image: Tensor) -> Tensor:
    """Pad images or masks with zeros at the bottom and the right, as the student does itself.

    The student's output stays the same, and its map covers exactly the padded image. In a mask, the padding is background, as
    that of `resize: pad` is.

    Args:
        student: A student, or a timm model.
        image: (..., H, W) of any type.

    Returns:
        (..., H', W'), whole patches; the image itself if the student pads nothing.
    """
    height, width = (int(n) for n in image.shape[-2:])
    padded_height, padded_width = padded_size(student, (height, width))
    if (padded_height, padded_width) == (height, width):
        return image
    return F.pad(image, (0, padded_width - width, 0, padded_height - height))


def crop_to_image(student: nn.Module, heatmap: Tensor, size: Size) -> Tensor:
    """Return the part of a map that lies on the image, to be drawn over it.

    Args:
        student: The student that the map is of.
        heatmap: Float (B, h, w) on the patch grid of the padded image.
        size: Height and width of the image before padding.

    Returns:
        Float (B, *size) in pixels; the map itself, on the patch grid, if the student pads nothing.
    """
    padded = padded_size(student, size)
    return heatmap if padded == size else upsample(heatmap, padded)[:, : size[0], : size[1]]
