"""Gradient-weighted attention relevance."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmpkd.attribution.base import ClassAttribution, check_images, differentiating, gradients_of_logit
from mmpkd.attribution.layout import check_readable, check_supported, start_row, token_layout
from mmpkd.attribution.recording.blocks import BlockAttention, WholeAttention
from mmpkd.attribution.recording.calls import attention_calls
from mmpkd.attribution.recording.grouping import by_block, of_all_tokens
from mmpkd.attribution.recording.row import first_row
from mmpkd.attribution.recording.weights import AttentionCall, attention_call, attention_values
from mmpkd.numerics.precision import exact_products

# maps the gradient of an attention's activation to the contributions (B, n, m) of its weights
Weigh = Callable[[Tensor], BlockAttention]


def attention_relevance(
    attentions: Sequence[Tensor], gradients: Sequence[Tensor], *, start: Tensor | None = None
) -> Tensor:
    """Trace the contributions of attention to a logit from the output tokens back to the input tokens.

    Let B_l be the mean over heads of max(0, dY/dA_l * A_l). Relevance starts as R = I and becomes R + B_l R, block by block
    (Chefer et al. 2021, https://arxiv.org/abs/2103.15679, eq. 5 and 6). The result is start R; only this row is computed.

    Args:
        attentions: One float tensor (B, H, N, N) per block, first block first; queries are rows.
        gradients: Gradients of the logit with respect to the attentions, of the same shapes.
        start: Float (B, N) or (N,), weights of the output tokens; token 0, the class token, if None.

    Returns:
        Float32 (B, N), relevance of each input token.

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> import torch
        >>> attention = torch.tensor([[[[0.5, 0.5], [0.2, 0.8]]]])  # one block, one head, two tokens
        >>> gradient = torch.tensor([[[[-1.0, 2.0], [0.0, 0.0]]]])
        >>> attention_relevance([attention], [gradient])
        tensor([[1., 1.]])
    """
    _check_shapes([tuple(value.shape) for value in attentions], [tuple(value.shape) for value in gradients])
    row = first_row(start, attentions[0])
    return row + _carried([_of_weights(a, g) for a, g in zip(attentions, gradients, strict=True)], row)


class AttentionRelevance(ClassAttribution):
    """Gradient-weighted attention relevance (Chefer et al. 2021, https://arxiv.org/abs/2103.15679) of one finding.

    With fused attention, the softmax A is not part of the graph. But the output is O = A V, so the gradient with respect to A
    is the gradient with respect to O times V transposed: queries, keys, values and the gradient of O are enough.

    In the paper, R starts from the identity: each token is relevant to itself. If the classifier averages over patches, the
    identity would add the same value to every patch. It is therefore left out, and the relevance of a patch is what attention
    carries from it to the classifier.

    Example:
        >>> import torch
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=3)
        >>> AttentionRelevance().of_label(model, torch.zeros(2, 3, 32, 32), label=torch.tensor([0, 2])).shape
        torch.Size([2, 2, 2])
    """

    name = "relevance"

    def check(self, student: nn.Module) -> None:
        """Raise a TypeError or a ValueError if the student is no sequence of tokens whose weighted sum is classified."""
        check_readable(student)

    def of_label(self, student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Return the relevance of the patches to one finding in each image, float32 (B, h, w)."""
        check_images(image)
        model = check_supported(student)
        layout = token_layout(model, (int(image.shape[-2]), int(image.shape[-1])))
        tape = _Tape()
        with differentiating(student), attention_calls(model, tape.on_fused, tape.on_materialised):
            # clones, because tensors created in inference mode cannot be used in autograd
            gradients = gradients_of_logit(student(image.clone()), label, tape.activations)
        with torch.no_grad(), exact_products(image.device.type):
            contributions = [weigh(gradient) for weigh, gradient in zip(tape.weigh, gradients, strict=True)]
            blocks, pool = by_block(model, layout, contributions)
            # the outputs of parallel attentions are added, so their contributions are too
            of_tokens = [of_all_tokens(block, _added, layout, model, rest=0.0) for block in blocks]
            # attention pooling is the last step of the chain, so its contribution is the start row
            start = start_row(layout, None if pool is None else pool.rows()[:, 0], len(image), image.device)
            relevance = _carried(of_tokens, start) + (start if pool is not None else 0)  # (B, N)
        return relevance[:, layout.num_prefix_tokens :].reshape(-1, *layout.grid)


class _Tape:
    """Records what is needed to compute the contribution of each attention to a logit."""

    def __init__(self) -> None:
        self.activations: list[Tensor] = []
        self.weigh: list[Weigh] = []

    def on_fused(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor) -> Tensor:
        self.weigh.append(partial(_Contributions, attention_call(*args, **kwargs), attention_values(*args, **kwargs)))
        return self._keep(result)

    def on_materialised(self, weights: Tensor) -> Tensor:
        self.weigh.append(partial(_of_weights, weights.detach()))
        return self._keep(weights)

    def _keep(self, activation: Tensor) -> Tensor:
        # weights have no gradient here, so the graph starts at the first activation that is kept
        if not activation.requires_grad:
            activation.requires_grad_()
        self.activations.append(activation)
        return activation


class _Contributions(BlockAttention):
    """Contributions of the weights of a fused call, computed when they are read: the mean over heads of max(0, dY/dA * A).

    Args:
        call: The call.
        value: Float (B, H, m, e), its values.
        gradient: Float (B, H, n, e), gradient of its output.
    """

    def __init__(self, call: AttentionCall, value: Tensor, gradient: Tensor) -> None:
        super().__init__((len(call.query), call.query.shape[2], call.key.shape[2]), call.query.device, rest=0.0)
        self._call = call
        self._value = value
        self._gradient = gradient

    def rows(self, queries: slice = slice(None)) -> Tensor:
        """Compute the contributions of some queries, float32 (B, c, m)."""
        call, gradient = self._call.queries(queries), self._gradient[:, :, queries].float()
        total = torch.zeros(len(gradient), gradient.shape[2], self.shape[2], dtype=torch.float32, device=self.device)
        # head by head: the gradients of all heads, (B, H, c, m), would need a lot of memory
        for head in range(call.num_heads):
            of_weights = gradient[:, head] @ self._value[:, head].float().transpose(1, 2)  # (B, c, m)
            total += _contribution(call.weights(head), of_weights)
        return total / call.num_heads


def _of_weights(weights: Tensor, gradient: Tensor) -> BlockAttention:
    """Return the contributions of a softmax (B, H, n, m), given its gradient of the same shape."""
    return WholeAttention(_contribution(weights.float(), gradient.float()).mean(1), rest=0.0)


def _added(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(tuple(parts)).sum(0)


def _contribution(weights: Tensor, gradient: Tensor) -> Tensor:
    return (weights * gradient).clamp_min(0)


def _carried(contributions: Sequence[BlockAttention], start: Tensor) -> Tensor:
    """Return start R - start, the relevance that attention carries, (B, N).

    It is computed without the start row, because it may be so small in comparison that rounding would remove it from the sum.
    """
    carried = torch.zeros_like(start)
    for contribution in reversed(contributions):
        carried = carried + contribution.weighted_sum(start + carried)
    return carried


def _check_shapes(attentions: Sequence[tuple[int, ...]], gradients: Sequence[tuple[int, ...]]) -> None:
    squares = {(shape[0], *shape[2:]) for shape in attentions if len(shape) == 4 and shape[2] == shape[3]}
    if attentions != gradients or len(squares) != 1 or any(len(shape) != 4 for shape in attentions):
        raise ValueError(
            f"Expected attentions and gradients of the same shapes (B, H, N, N) but got {attentions} and {gradients}."
        )
