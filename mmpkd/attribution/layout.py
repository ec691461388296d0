"""The token sequence of a timm transformer: where the patches are, and which tokens the classifier reads."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.layers import to_2tuple
from torch import Tensor, nn

Pooling = Literal["class", "distilled", "average", "attention"]

_SUPPORTED = (
    "Attention maps need attention from every token to every token, as in timm's VisionTransformer (DeiT, DINOv2, "
    "SigLIP included), Eva (EVA02, DINOv3), Beit, VisionTransformerRelPos and Cait; windowed or reduced attention has "
    "none: use mmpkd.attribution.GradCAM."
)


@dataclass(frozen=True)
class TokenLayout:
    """Layout of N = num_prefix_tokens + rows * columns tokens.

    Attributes:
        num_prefix_tokens: Number of class, distillation and register tokens, which come before the patches.
        grid: Patches (rows, columns).
        pooling: What the classifier reads: the class token, the class and the distillation token, the mean over tokens, or
            an attention pooling over tokens.
        pools_prefix: Whether average or attention pooling includes the prefix tokens.
    """

    num_prefix_tokens: int
    grid: tuple[int, int]
    pooling: Pooling
    pools_prefix: bool

    @property
    def num_patches(self) -> int:
        """Number of patch tokens."""
        return self.grid[0] * self.grid[1]

    @property
    def num_tokens(self) -> int:
        """Number of all tokens N."""
        return self.num_prefix_tokens + self.num_patches


def backbone(student: nn.Module) -> nn.Module:
    """Return the timm module of a student; a timm module is returned as it is."""
    model = getattr(student, "model", student)
    if not isinstance(model, nn.Module):
        raise TypeError(f"Expected `student.model` to be a module but got {type(model).__name__}.")
    return model


def patch_grid(student: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Return the patch grid of images of a given size.

    Args:
        student: A student, or a timm model.
        size: Height and width of the images in pixels.

    Returns:
        Patches (rows, columns).

    Raises:
        TypeError: If the model has no patch embedding.
        ValueError: If the patches do not cover the image exactly.

    Example:
        >>> import timm
        >>> patch_grid(timm.create_model("vit_tiny_patch16_224", img_size=(32, 48), depth=1), (32, 48))
        (2, 3)
    """
    model = backbone(student)
    check_whole_patches(model, size)
    embed: Any = getattr(model, "patch_embed", None)
    if hasattr(embed, "dynamic_feat_size"):
        rows, columns = embed.dynamic_feat_size(size)
    elif hasattr(embed, "grid_size"):
        rows, columns = embed.grid_size
    else:
        raise TypeError(f"Expected a model with a patch embedding but got {architecture(model)}. {_SUPPORTED}")
    return int(rows), int(columns)


def check_whole_patches(model: nn.Module, size: tuple[int, int]) -> None:
    """Check that the patches of a timm model cover images of a given height and width exactly.

    The embedding drops pixels beyond the last whole patch, or pads them to a whole one (timm's `dynamic_img_pad`). A map
    stretched over the image would then show every patch in the wrong place. `pad_to_patches` pads images beforehand.

    Raises:
        ValueError: If the height or width is not a multiple of the patch's.
    """
    patch = _patch_size(getattr(model, "patch_embed", None))
    if patch is not None:
        check_whole(size, patch)


def check_whole(size: tuple[int, int], patch: tuple[int, int]) -> None:
    """Raise a ValueError unless height and width are multiples of those of a patch."""
    if not any(pixels % step for pixels, step in zip(size, patch, strict=True)):
        return
    height, width = (_whole(pixels, step) for pixels, step in zip(size, patch, strict=True))
    raise ValueError(
        f"Expected an image of whole patches, {patch[0]} x {patch[1]} pixels each, but got {size[0]} x {size[1]} pixels. "
        f"Take a height of {height} and a width of {width}."
    )


def _whole(pixels: int, step: int) -> str:
    """Return the nearest multiples of the patch below and above, as text for an error message."""
    above = -(-pixels // step) * step
    return str(above) if above in (step, pixels) else f"{above - step} or {above}"


def _patch_size(embed: Any) -> tuple[int, int] | None:
    """Return the height and width of a patch in pixels, or None without patches or if they overlap."""
    if not hasattr(embed, "grid_size"):
        return None
    rows, columns = (int(step) for step in to_2tuple(embed.patch_size))
    if not hasattr(embed, "feature_ratio"):
        return rows, columns
    # a hybrid with a convolutional backbone: timm divides the image by the size of the features, which is rounded up:
    # 100 pixels on 4 cells of 32 give a ratio of 25. These backbones halve, so the next power of two is the true ratio
    ratio = [2 ** math.ceil(math.log2(int(value))) for value in embed.feature_ratio]
    return rows * ratio[0], columns * ratio[1]


def token_layout(student: nn.Module, size: tuple[int, int]) -> TokenLayout:
    """Read the token layout for images of a given size from the model's own attributes.

    Args:
        student: A student, or a timm vision transformer.
        size: Height and width of the images in pixels.

    Raises:
        TypeError: If the model is not one sequence of tokens under global attention.
        ValueError: If the classifier does not read a weighted sum of tokens, as with max pooling.

    Example:
        >>> import timm
        >>> token_layout(timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1), (32, 32))
        TokenLayout(num_prefix_tokens=1, grid=(2, 2), pooling='class', pools_prefix=False)
    """
    model = check_supported(student)
    return TokenLayout(
        num_prefix_tokens=int(model.num_prefix_tokens),  # type: ignore[arg-type]
        grid=patch_grid(model, size),
        pooling=_pooling(model),
        pools_prefix=_pools_prefix(model),
    )


def check_supported(student: nn.Module) -> nn.Module:
    """Return the timm module of a student.

    Raises:
        TypeError: If it is not one sequence of tokens under global attention.
    """
    model = backbone(student)
    if not all(hasattr(model, name) for name in ("patch_embed", "blocks", "num_prefix_tokens", "global_pool")):
        raise TypeError(
            f"Expected a vision transformer with global attention but got {architecture(model)}. {_SUPPORTED}"
        )
    return model


def architecture(model: nn.Module) -> str:
    """Return the class name of a model, whether compiled or not."""
    return type(getattr(model, "_orig_mod", model)).__name__


def _pooling(model: nn.Module) -> Pooling:
    # the distillation token of DeiT has a head of its own, and the logits are averaged
    if hasattr(model, "head_dist"):
        return "distilled"
    known: dict[str, Pooling] = {"token": "class", "avg": "average", "map": "attention"}
    pool = str(model.global_pool)
    if pool not in known:
        raise ValueError(
            f"Expected global pooling 'token', 'avg' or 'map' but {architecture(model)} has '{pool}', "
            "which does not weigh tokens linearly. Set `global_pool` when the model is created."
        )
    return known[pool]


def num_read_tokens(model: nn.Module) -> int | None:
    """Return how many of the first tokens the classifier reads, or None if it reads others as well."""
    read: dict[Pooling, int] = {"class": 1, "distilled": 2}
    return read.get(_pooling(model))


def _pools_prefix(model: nn.Module) -> bool:
    # only VisionTransformer has the flag; Eva pools by attention over all tokens and by average over the patches
    flag = getattr(model, "pool_include_prefix", None)
    return bool(flag) if flag is not None else model.global_pool == "map"


def start_row(layout: TokenLayout, pool: Tensor | None, like: Tensor) -> Tensor:
    """Return how much the classifier reads of each token directly: the row that rollout starts from.

    Args:
        layout: The token layout.
        pool: Float (B, n), weights of an attention pooling over the n tokens it covers, or None without one.
        like: Float (B, N, N), gives batch size, data type and device.

    Returns:
        Float (B, N), rows sum to 1.

    Raises:
        RuntimeError: If the model pools by attention and its weights were not recorded.

    Example:
        >>> import torch
        >>> layout = TokenLayout(num_prefix_tokens=1, grid=(1, 2), pooling="average", pools_prefix=False)
        >>> start_row(layout, None, torch.zeros(1, 3, 3))
        tensor([[0.0000, 0.5000, 0.5000]])
    """
    start = torch.zeros_like(like[:, 0])
    first_pooled = 0 if layout.pools_prefix else layout.num_prefix_tokens
    if layout.pooling == "class":
        start[:, 0] = 1
    elif layout.pooling == "distilled":
        start[:, :2] = 0.5
    elif layout.pooling == "average":
        start[:, first_pooled:] = 1 / (layout.num_tokens - first_pooled)
    elif pool is None or pool.shape[1] != layout.num_tokens - first_pooled:
        found = "none" if pool is None else f"one over {pool.shape[1]} tokens"
        raise RuntimeError(
            f"Expected an attention pooling over {layout.num_tokens - first_pooled} tokens but recorded {found}. "
            "Attention pooling is recorded with fused attention only: timm.layers.set_fused_attn(True)."
        )
    else:
        start[:, first_pooled:] = pool
    return start
