"""A student as a function of grey values that `torch.export` can trace for any batch size."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmpkd.attribution import pad_to_patches
from mmpkd.attribution.layout import check_supported, start_row, token_layout
from mmpkd.attribution.padding import padded_size
from mmpkd.attribution.recording.calls import attention_calls
from mmpkd.attribution.recording.grouping import by_block
from mmpkd.attribution.recording.weights import attention_call, positive_weights
from mmpkd.students import VisionTransformerStudent


class GreyToLogits(nn.Module):
    """Maps grey values to logits.

    Args:
        student: The student.
    """

    def __init__(self, student: VisionTransformerStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, float32 (B, K), of grey values in [0, 1], float32 (B, C, H, W)."""
        logits: Tensor = self.student(self.normalised(image)).logits
        return logits

    def normalised(self, image: Tensor) -> Tensor:
        """Normalise grey values as the student expects."""
        return (image - self.student.mean) / self.student.std


class GreyToLogitsAndRollout(GreyToLogits):
    """Maps grey values to logits and to the attention rollout with its default settings.

    `AttentionRollout` processes a batch sample by sample and skips queries that are not used, which a graph for any batch size
    cannot do. Here all queries are computed, and unused ones have the weight 0.

    Raises:
        TypeError: If the model does not attend from every token to every token.
    """

    def __init__(self, student: VisionTransformerStudent) -> None:
        super().__init__(student)
        check_supported(student)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # one output more
        """Return logits, float32 (B, K), and the rollout, float32 (B, h, w)."""
        normalised = pad_to_patches(self.student, self.normalised(image))
        calls: list[Tensor] = []

        def on_fused(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor) -> Tensor:
            call = attention_call(*args, **kwargs)
            # heads (H, B, n, m), averaged to (B, n, m)
            calls.append(torch.stack([call.weights(head) for head in range(call.num_heads)]).mean(0))
            return result

        def on_materialised(weights: Tensor) -> Tensor:
            # heads (B, H, n, m), averaged to (B, n, m)
            calls.append(positive_weights(weights).mean(1))
            return weights

        model = self.student.model
        with attention_calls(model, on_fused, on_materialised):
            logits = self.student(normalised).logits
        layout = token_layout(model, (int(normalised.shape[-2]), int(normalised.shape[-1])))
        blocks, pool = by_block(model, layout, calls)
        layers = [torch.stack(block).mean(0) for block in blocks]  # each (B, N, N)
        _check_square(layers, layout.num_tokens)
        last = layers[-1]
        row = start_row(layout, None if pool is None else pool.mean(1), last.shape[0], last.device)
        # only the row of the classifier, last block first: no product of two matrices (N, N)
        for layer in reversed(layers):
            row = (row + torch.bmm(row[:, None], layer)[:, 0]) / 2  # rows of a softmax sum to 1
        return logits, row[:, layout.num_prefix_tokens :].reshape(-1, *layout.grid)


def about_rollout(student: VisionTransformerStudent) -> str:
    """Return a sentence about the output `rollout`, which says what part of an image it covers."""
    side = int(student.settings["image_size"])
    height, width = padded_size(student, (side, side))
    padded = (
        ""
        if (height, width) == (side, side)
        else f", padded at the bottom and on the right to {height} x {width} pixels"
    )
    return f"The output `rollout` is the attention rollout on the grid of patches, which covers the image{padded}."


def _check_square(layers: Sequence[Tensor], num_tokens: int) -> None:
    """Check that every block attends from every token to every token. Blocks of CaiT do not."""
    shapes = {tuple(layer.shape[1:]) for layer in layers}
    if shapes != {(num_tokens, num_tokens)}:
        raise ValueError(
            f"Expected every block to attend over {num_tokens} tokens for a rollout in ONNX but got {sorted(shapes)}. Leave "
            "--rollout out."
        )
