"""The token sequence of a timm transformer: which tokens are patches, and which ones the classifier reads."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.layers import to_2tuple
from torch import Tensor, nn

Pooling = Literal["class", "distilled", "average", "attention"]

_SUPPORTED = (
    "Attention maps need global attention, from every token to every token, as in timm's VisionTransformer (including DeiT, "
    "DINOv2 and SigLIP), Eva (EVA02, DINOv3), Beit, VisionTransformerRelPos and Cait. For windowed or reduced attention, use "
    "mmpkd.attribution.GradCAM."
)


@dataclass(frozen=True)
class TokenLayout:
    """Layout of the N = num_prefix_tokens + h*w tokens of an image.

    Attributes:
        num_prefix_tokens: Number of class, distillation and register tokens, which come before the patches.
        grid: Number of patches (h, w).
        pooling: What the classifier reads: the `class` token, class and distillation token (`distilled`), the `average` over
            tokens, or an `attention` pooling over tokens.
        pools_prefix: Whether average or attention pooling includes the prefix tokens.

    Example:
        >>> TokenLayout(num_prefix_tokens=1, grid=(14, 14), pooling="class", pools_prefix=False).num_tokens
        197
    """

    num_prefix_tokens: int
    grid: tuple[int, int]
    pooling: Pooling
    pools_prefix: bool

    @property
    def num_patches(self) -> int:
        """Number of patch tokens, h*w."""
        return self.grid[0] * self.grid[1]

    @property
    def num_tokens(self) -> int:
        """Number of all tokens N."""
        return self.num_prefix_tokens + self.num_patches


def backbone(student: nn.Module) -> nn.Module:
    """Return the timm model inside a student; a timm model is returned unchanged.

    Raises:
        TypeError: If `student.model` is not a module.
    """
    model = getattr(student, "model", student)
    if not isinstance(model, nn.Module):
        raise TypeError(f"Expected `student.model` to be a module but got {type(model).__name__}.")
    return model


def patch_grid(student: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Return the patch grid for images of a given size.

    Args:
        student: A student, or a timm model.
        size: Height and width of the images in pixels.

    Returns:
        Number of patches (h, w).

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
    embed = _patch_embedding(model)
    rows, columns = embed.dynamic_feat_size(size) if hasattr(embed, "dynamic_feat_size") else embed.grid_size
    return int(rows), int(columns)


def _patch_embedding(model: nn.Module) -> Any:
    """Return the patch embedding of a model, which knows its grid.

    Raises:
        TypeError: If there is none.
    """
    embed = getattr(model, "patch_embed", None)
    if not hasattr(embed, "dynamic_feat_size") and not hasattr(embed, "grid_size"):
        raise TypeError(f"Expected a model with a patch embedding but got {architecture(model)}. {_SUPPORTED}")
    return embed


def check_whole_patches(model: nn.Module, size: tuple[int, int]) -> None:
    """Check that the patches of a timm model cover images of a given height and width exactly.

    Otherwise the patch embedding drops the pixels after the last whole patch, or pads them to a whole patch (timm's
    `dynamic_img_pad`), and a map stretched over the image would show every patch in the wrong place. `pad_to_patches` pads
    images beforehand.

    Raises:
        ValueError: If the height or width is not a multiple of the patch size.
    """
    patch = _patch_size(getattr(model, "patch_embed", None))
    if patch is not None:
        check_whole(size, patch)


def check_whole(size: tuple[int, int], patch: tuple[int, int]) -> None:
    """Raise a ValueError unless height and width are multiples of the patch size."""
    if not any(pixels % step for pixels, step in zip(size, patch, strict=True)):
        return
    height, width = (_whole(pixels, step) for pixels, step in zip(size, patch, strict=True))
    raise ValueError(
        f"Expected an image of whole patches of {patch[0]} x {patch[1]} pixels but got {size[0]} x {size[1]} pixels. "
        f"Use a height of {height} and a width of {width}."
    )


def _whole(pixels: int, step: int) -> str:
    """Return the nearest multiples of the patch size below and above, as text for an error message."""
    above = -(-pixels // step) * step
    return str(above) if above in (step, pixels) else f"{above - step} or {above}"


def _patch_size(embed: Any) -> tuple[int, int] | None:
    """Return the height and width of a patch in pixels, or None if the model has no patches or they overlap."""
    if not hasattr(embed, "grid_size"):
        return None
    rows, columns = (int(step) for step in to_2tuple(embed.patch_size))
    if not hasattr(embed, "feature_ratio"):
        return rows, columns
    # a hybrid with a convolutional backbone: timm divides the image size by the feature size, which is rounded up, so
    # 100 pixels on 4 cells of 32 give 25. These backbones halve repeatedly: the true ratio is the next power of two
    ratio = [2 ** math.ceil(math.log2(int(value))) for value in embed.feature_ratio]
    return rows * ratio[0], columns * ratio[1]


def token_layout(student: nn.Module, size: tuple[int, int]) -> TokenLayout:
    """Return the token layout for images of a given size, from the attributes of the model.

    Args:
        student: A student, or a timm vision transformer.
        size: Height and width of the images in pixels.

    Raises:
        TypeError: If the model is not a sequence of tokens with global attention.
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
    """Return the timm model of a student if attention maps can be computed for it.

    Raises:
        TypeError: If it is not a sequence of tokens with global attention.
    """
    model = backbone(student)
    if not all(hasattr(model, name) for name in ("patch_embed", "blocks", "num_prefix_tokens", "global_pool")):
        raise TypeError(
            f"Expected a vision transformer with global attention but got {architecture(model)}. {_SUPPORTED}"
        )
    return model


def check_readable(student: nn.Module) -> None:
    """Check that the classifier of a student reads a weighted sum of tokens that attention has mixed.

    Raises:
        TypeError: If the student is not a sequence of tokens with global attention.
        ValueError: If it has no block, or pools tokens in another way.
    """
    model: Any = check_supported(student)
    if not len(model.blocks):
        raise ValueError(f"Expected a {architecture(model)} with at least one block but it has none. Set `depth`.")
    _patch_embedding(model)
    _pooling(model)


def architecture(model: nn.Module) -> str:
    """Return the class name of a model, also if it is compiled."""
    return type(getattr(model, "_orig_mod", model)).__name__


def _pooling(model: nn.Module) -> Pooling:
    # DeiT's distillation token has its own head, and the logits of both heads are averaged
    if hasattr(model, "head_dist"):
        return "distilled"
    known: dict[str, Pooling] = {"token": "class", "avg": "average", "map": "attention"}
    pool = str(model.global_pool)
    if pool not in known:
        raise ValueError(
            f"Expected global pooling 'token', 'avg' or 'map' but {architecture(model)} has '{pool}', which is not a "
            "weighted sum of tokens. Set `global_pool` when the model is created."
        )
    return known[pool]


def num_read_tokens(model: nn.Module) -> int | None:
    """Return how many tokens at the start the classifier reads, or None if it reads others as well."""
    read: dict[Pooling, int] = {"class": 1, "distilled": 2}
    return read.get(_pooling(model))


def _pools_prefix(model: nn.Module) -> bool:
    # only VisionTransformer has the flag. Eva's attention pooling covers all tokens, its average only the patches
    flag = getattr(model, "pool_include_prefix", None)
    return bool(flag) if flag is not None else model.global_pool == "map"


def start_row(layout: TokenLayout, pool: Tensor | None, batch_size: int, device: torch.device) -> Tensor:
    """Return the weight of each token in the classifier's input: the row that rollout starts from.

    Args:
        layout: The token layout.
        pool: Float (B, n), weights of the attention pooling over the n tokens that it covers, or None if there is none.
        batch_size: Number of images B.
        device: Device of the result.

    Returns:
        Float32 (B, N); each row sums to 1.

    Raises:
        RuntimeError: If the model pools by attention but its weights were not recorded.

    Example:
        >>> import torch
        >>> layout = TokenLayout(num_prefix_tokens=1, grid=(1, 2), pooling="average", pools_prefix=False)
        >>> start_row(layout, None, 1, torch.device("cpu"))
        tensor([[0.0000, 0.5000, 0.5000]])
    """
    start = torch.zeros(batch_size, layout.num_tokens, dtype=torch.float32, device=device)
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
            "Attention pooling can only be recorded with fused attention: call timm.layers.set_fused_attn(True)."
        )
    else:
        start[:, first_pooled:] = pool
    return start
