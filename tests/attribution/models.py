"""Tiny timm models of every token layout, and their attention obtained in another way than by the code under test."""

from collections.abc import Callable
from typing import Any

import timm
import torch
from timm.models.vision_transformer import ParallelScalingBlock, ParallelThingsBlock
from torch import Tensor, nn

from mmpkd.attribution import RecordedAttention

_SMALL: dict[str, Any] = {"embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 3, "pretrained": False}
# name of the layout -> (timm name, image size, further arguments, prefix tokens, pooling)
LAYOUTS: dict[str, tuple[str, tuple[int, int], dict[str, Any], int, str]] = {
    "class_token": ("vit_tiny_patch16_224", (48, 48), {}, 1, "class"),
    "average_pooling": ("vit_tiny_patch16_224", (48, 48), {"global_pool": "avg"}, 1, "average"),
    "no_class_token": ("vit_tiny_patch16_224", (48, 48), {"global_pool": "avg", "class_token": False}, 0, "average"),
    "distilled": ("deit_tiny_distilled_patch16_224", (48, 48), {}, 2, "distilled"),
    "registers": ("vit_small_patch14_reg4_dinov2", (42, 42), {}, 5, "class"),
    "map_pooling": ("vit_base_patch16_siglip_224", (48, 48), {}, 0, "attention"),
    "not_square": ("vit_tiny_patch16_224", (64, 32), {}, 1, "class"),
    "qk_norm": ("vit_tiny_patch16_224", (48, 48), {"qk_norm": True}, 1, "class"),
    "eva02": ("eva02_tiny_patch14_224", (42, 42), {}, 1, "average"),
    "dinov3": ("vit_small_patch16_dinov3", (48, 48), {}, 5, "average"),
    "beit": ("beit_base_patch16_224", (48, 48), {}, 1, "average"),
    "relative_position": ("vit_relpos_small_patch16_224", (48, 48), {}, 0, "average"),
    "parallel_scaling": ("vit_tiny_patch16_224", (48, 48), {"block_fn": ParallelScalingBlock}, 1, "class"),
    "parallel_things": ("vit_tiny_patch16_224", (48, 48), {"block_fn": ParallelThingsBlock}, 1, "class"),
}


def build(layout: str) -> nn.Module:
    """Build a model whose attention is far from uniform: at its usual initialisation all maps look alike."""
    name, size, options, _, _ = LAYOUTS[layout]
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, img_size=size, **_SMALL, **options)
    peaked = ("qkv", "q_proj", "k_proj", "attn_pool.q", "attn_pool.kv", "in_proj", "bias_table", "rel_pos", "latent")
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if any(part in key for part in peaked):
                parameter.normal_(std=0.4)
    return model.eval()


def image_for(layout: str, batch_size: int = 2) -> Tensor:
    return torch.randn(batch_size, 3, *LAYOUTS[layout][1], generator=torch.Generator().manual_seed(1))


def unfused_attention(model: nn.Module, image: Tensor) -> list[Tensor]:
    """Return the softmax (B, H, N, N) of every attention, in float64, from the plain code path of timm."""
    found: list[Tensor] = []
    model = model.double()
    fused = [module for module in model.modules() if getattr(module, "fused_attn", False)]
    drops = [getattr(module, "attn_drop", None) for module in model.modules()]
    hooks = [drop.register_forward_hook(_append_input(found)) for drop in drops if isinstance(drop, nn.Module)]
    for module in fused:
        module.fused_attn = False  # type: ignore[assignment]
    with torch.no_grad():
        model(image.double())
    for module in fused:
        module.fused_attn = True  # type: ignore[assignment]
    for hook in hooks:
        hook.remove()
    model.float()
    return found


def _append_input(found: list[Tensor]) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        del module, output
        found.append(args[0])

    return hook


def pooling_attention(model: Any, image: Tensor) -> Tensor:
    """Return what SigLIP's pooling attends to, (B, N) in float64, from its weights."""
    model = model.double()
    with torch.no_grad():
        tokens = model.forward_features(image.double())
        pool = model.attn_pool
        batch_size, num_tokens, width = tokens.shape
        head = width // pool.num_heads
        query = pool.q(pool.latent).reshape(1, pool.num_heads, head)
        key = pool.kv(tokens)[..., :width].reshape(batch_size, num_tokens, pool.num_heads, head)
        logits = torch.einsum("ohd,bnhd->bhn", query, key) / head**0.5
    model.float()
    attention: Tensor = logits.softmax(-1).mean(1)
    return attention


def start_of(layout: str, model: nn.Module, image: Tensor, num_tokens: int) -> Tensor:
    """Return what the head reads, (B, N) in float64, written out layout by layout."""
    _, _, _, prefix, pooling = LAYOUTS[layout]
    if pooling == "attention":
        return pooling_attention(model, image)
    row = torch.zeros(num_tokens, dtype=torch.float64)
    if pooling == "class":
        row[0] = 1
    elif pooling == "distilled":
        row[0] = row[1] = 0.5
    else:
        row[prefix:] = 1 / (num_tokens - prefix)
    return row.expand(len(image), -1)


def whole_layers(recorded: RecordedAttention) -> list[Tensor]:
    """Return the attention (B, N, N) of every block; tokens that are no queries attend to themselves."""
    layers = []
    for block in recorded.blocks:
        layer = torch.eye(recorded.layout.num_tokens).repeat(block.shape[0], 1, 1)
        layer[:, : block.shape[1]] = block.rows()
        layers.append(layer)
    return layers
