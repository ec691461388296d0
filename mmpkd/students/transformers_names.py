"""Names of tensors in weights of Hugging Face transformers, and their places in timm's models."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# heads and tokens that no image classifier of timm's begins with
_UNUSED = re.compile(r"(^|\.)(mask_token|pooler\..*|classifier\..*|cls_classifier\..*|distillation_classifier\..*)$")
_PREFIX = re.compile(r"^(vit|deit|dinov2|dinov2_with_registers|dinov3_vit)\.")
_BLOCK = re.compile(r"^(?:encoder\.layers?|layers?|model\.layers?)\.(\d+)\.(.*)\.(weight|bias|lambda1)$")
# parts of a block, as they are called in files and in memory, by release; attention before `output.dense` of the MLP
_PARTS = {
    "attention.attention.query": "q",
    "attention.attention.key": "k",
    "attention.attention.value": "v",
    "attention.q_proj": "q",
    "attention.k_proj": "k",
    "attention.v_proj": "v",
    "attention.output.dense": "attn.proj",
    "attention.o_proj": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "norm1": "norm1",
    "norm2": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "mlp.weights_in": "mlp.fc1",
    "mlp.weights_out": "mlp.fc2",
    "mlp.gate_proj": "mlp.fc1_g",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.fc2",
    "layer_scale1": "scale1",
    "layer_scale2": "scale2",
}
_OUTSIDE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.distillation_token": "dist_token",
    "embeddings.register_tokens": "reg_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "embeddings.patch_embeddings.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
}


@dataclass(frozen=True)
class NamedTensors:
    """Weights by timm's names, but for queries, keys, values and scales of a block, which models of timm's hold differently.

    Attributes:
        outside: Tensors outside of the blocks, by timm's name.
        blocks: Tensors of each block, such as `q.weight`, `mlp.fc1.bias`, `scale1`.
    """

    outside: dict[str, Tensor]
    blocks: list[dict[str, Tensor]]


def timm_names(weights: Mapping[str, Tensor]) -> NamedTensors:
    """Give weights the names of timm.

    Args:
        weights: Tensors, as a file of transformers or a model in memory names them.

    Raises:
        ValueError: If a tensor has no place in timm's models; all such tensors are named.
    """
    outside: dict[str, Tensor] = {}
    blocks: dict[int, dict[str, Tensor]] = {}
    without_place = []
    for full_name, value in weights.items():
        name = _PREFIX.sub("", full_name)
        block = _BLOCK.match(name)
        if block is not None and block[2] in _PARTS:
            part = _PARTS[block[2]]
            own = part if block[3] == "lambda1" else f"{part}.{block[3]}"
            blocks.setdefault(int(block[1]), {})[own] = value
        elif name in _OUTSIDE:
            outside[_OUTSIDE[name]] = value
        elif not _UNUSED.search(name):
            without_place.append(full_name)
    if without_place:
        raise ValueError(
            f"Expected weights of a vision transformer but timm's has no place for {sorted(without_place)}."
        )
    if sorted(blocks) != list(range(len(blocks))) or not blocks:
        raise ValueError(f"Expected blocks that are numbered from 0 but the weights have {sorted(blocks)}.")
    return NamedTensors(outside, [blocks[index] for index in range(len(blocks))])


def fused_attention(block: Mapping[str, Tensor], has_own_biases: bool) -> dict[str, Tensor]:
    """Return a block with queries, keys and values in one matrix, as timm's attention has them.

    Args:
        block: Tensors of a block.
        has_own_biases: Whether timm's attention keeps biases of queries and values apart and has none of keys, as its Eva.

    Raises:
        ValueError: If queries, keys or values are missing, or keys have a bias that has no place.
    """
    missing = [f"{part}.weight" for part in "qkv" if f"{part}.weight" not in block]
    if missing:
        raise ValueError(f"Expected queries, keys and values in every block but one lacks {missing}.")
    fused = {name: value for name, value in block.items() if name[:2] not in ("q.", "k.", "v.")}
    fused["attn.qkv.weight"] = torch.cat([block[f"{part}.weight"] for part in "qkv"])
    biases = [part for part in "qkv" if f"{part}.bias" in block]
    if has_own_biases:
        if "k" in biases:
            raise ValueError("Expected keys without a bias, as timm's Eva has them, but the weights have k_proj.bias.")
        fused |= {f"attn.{part}_bias": block[f"{part}.bias"] for part in biases}
    elif biases:
        # timm's attention has one bias for all three, where a missing one is 0
        zeros = torch.zeros_like(block["q.weight"][:, 0])
        fused["attn.qkv.bias"] = torch.cat([block.get(f"{part}.bias", zeros) for part in "qkv"])
    return fused
