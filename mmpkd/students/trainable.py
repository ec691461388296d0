"""Freezing parts of a student."""

from collections.abc import Sequence

from torch import nn


def freeze_all_but_heads(model: nn.Module, heads: Sequence[nn.Module]) -> None:
    """Freeze everything except the classification heads (linear probing)."""
    model.requires_grad_(False)
    for head in heads:
        head.requires_grad_(True)


def freeze_blocks(model: nn.Module, num_blocks: int) -> None:
    """Freeze the patch embedding, the position embedding, the prefix tokens and the first blocks.

    Args:
        model: A timm vision transformer.
        num_blocks: Number of blocks to freeze; 0 freezes nothing.

    Raises:
        ValueError: If the model has fewer blocks.
    """
    if not num_blocks:
        return
    blocks = getattr(model, "blocks", ())
    if not 0 < num_blocks <= len(blocks):
        raise ValueError(
            f"Expected frozen_blocks in [0, {len(blocks)}], the blocks of this model, but got {num_blocks}."
        )
    for name in ("patch_embed", "pos_embed", "cls_token", "reg_token", "dist_token", "norm_pre"):
        part = getattr(model, name, None)
        if part is not None:
            part.requires_grad_(False)
    for block in blocks[:num_blocks]:
        block.requires_grad_(False)


def set_frozen_eval(model: nn.Module, heads: Sequence[nn.Module]) -> None:
    """Put all frozen parts into eval mode, without dropout and without updates of batch norm statistics.

    If only the heads are trained, everything before them is in eval mode, so the features are the same as at test time.
    """
    for module in model.modules():
        parameters = list(module.parameters())
        # a module without parameters, such as dropout, follows the modules around it
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    within_heads = [module for head in heads for module in head.modules()]
    of_heads = {id(parameter) for module in within_heads for parameter in module.parameters()}
    if all(id(parameter) in of_heads for parameter in model.parameters() if parameter.requires_grad):
        # including modules without parameters; `eval` would also reach the heads inside them
        for module in set(model.modules()) - set(within_heads):
            module.training = False
