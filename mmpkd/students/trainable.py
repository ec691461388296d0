"""Which parts of a student are trained."""

from collections.abc import Iterator

from torch import nn

from mmpkd.students.vit import VisionTransformerStudent


def freeze_for_linear_probe(student: VisionTransformerStudent) -> None:
    """Freeze everything but the classification heads."""
    student.requires_grad_(False)
    for head in _heads(student):
        head.requires_grad_(True)


def freeze_blocks(student: VisionTransformerStudent, count: int) -> None:
    """Freeze the patch embedding, the position embedding, the prefix tokens and the first blocks.

    Args:
        student: The student.
        count: Number of blocks; 0 freezes nothing.

    Raises:
        ValueError: If the model has fewer blocks.
    """
    if not count:
        return
    blocks = getattr(student.model, "blocks", ())
    if not 0 < count <= len(blocks):
        raise ValueError(f"Expected frozen_blocks in [0, {len(blocks)}], the blocks of this model, but got {count}.")
    student.model.patch_embed.requires_grad_(False)
    for name in ("pos_embed", "cls_token", "reg_token", "dist_token", "norm_pre"):
        part = getattr(student.model, name, None)
        if part is not None:
            part.requires_grad_(False)
    for block in blocks[:count]:
        block.requires_grad_(False)


def set_frozen_eval(student: VisionTransformerStudent) -> None:
    """Put every part that is not trained into eval mode: no dropout, no new statistics of batch norm.

    If only the heads are trained, that is everything before them: the features are then what they are at test time.
    """
    for module in student.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    heads = [module for head in _heads(student) for module in head.modules()]
    in_heads = {id(parameter) for head in heads for parameter in head.parameters()}
    if all(id(parameter) in in_heads for parameter in student.parameters() if parameter.requires_grad):
        for module in set(student.modules()) - set(heads):
            module.training = False


def _heads(student: VisionTransformerStudent) -> Iterator[nn.Module]:
    classifier = student.model.get_classifier()
    yield from classifier if isinstance(classifier, tuple) else (classifier,)
