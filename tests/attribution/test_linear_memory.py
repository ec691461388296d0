"""Attention kept as queries and keys gives the maps of whole N x N matrices, whatever the size of a chunk."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmpkd.attribution import (
    AttentionRelevance,
    AttentionRollout,
    LastLayerAttention,
    attention_heads,
    record_attention,
)
from mmpkd.attribution.recording import blocks, queries_keys
from mmpkd.attribution.recording.log_sum_exp import LogSumExpOfFused
from mmpkd.attribution.recording.queries_keys import QueriesAndKeys
from mmpkd.attribution.recording.weights import AttentionCall, HeadFusion
from tests.attribution.models import LAYOUTS, build, image_for, whole_layers

LABEL = torch.tensor([2, 0])
# 10 tokens and 2 heads: chunks of one, of four and of all queries; tiles of one row, and of all heads of both images
CHUNKS = [10, 40, 2**18]


@pytest.fixture(params=CHUNKS)
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(blocks, "_CACHE_WEIGHTS", request.param)
    monkeypatch.setattr(queries_keys, "_TILE", request.param)
    return int(request.param)


def rollout_of_matrices(layers: list[Tensor], start: Tensor, discard_ratio: float, residual_weight: float) -> Tensor:
    """Return start M_L ... M_1 with whole matrices, in float64, (B, N)."""
    row = start.double()[:, None]
    for layer in reversed(layers):
        kept = layer.double()
        smallest = layer.topk(int(discard_ratio * layer.shape[-1]), largest=False).indices
        kept = kept.scatter(-1, smallest, 0)
        matrix = (1 - residual_weight) * kept + residual_weight * torch.eye(layer.shape[-1])
        row = row @ (matrix / matrix.sum(-1, keepdim=True))
    return row[:, 0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_maps_are_those_of_whole_matrices(layout: str, chunk: int) -> None:
    model, image = build(layout), image_for(layout)
    options: list[tuple[HeadFusion, float, float]] = [
        ("mean", 0, 0.5),
        ("mean", 0.4, 0.3),
        ("max", 0, 0.5),
        ("min", 0.2, 0.5),
    ]
    for fusion, discard_ratio, residual_weight in options:
        recorded = record_attention(model, image, fusion)
        layers, prefix = whole_layers(recorded), LAYOUTS[layout][3]
        expected = rollout_of_matrices(layers, recorded.start, discard_ratio, residual_weight)[:, prefix:]
        found = AttentionRollout(fusion, discard_ratio, residual_weight).heatmap(recorded).flatten(1)
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)
        last = torch.einsum("bn,bnm->bm", recorded.start.double(), layers[-1].double())
        expected = (last / last.sum(1, keepdim=True))[:, prefix:]
        found = LastLayerAttention(fusion).heatmap(recorded).flatten(1)
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("layout", ["class_token", "average_pooling", "map_pooling", "parallel_things", "beit"])
def test_relevance_does_not_depend_on_chunks(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = build(layout), image_for(layout)
    expected = AttentionRelevance().of_label(model, image, LABEL)
    monkeypatch.setattr(blocks, "_CACHE_WEIGHTS", 30)
    found = AttentionRelevance().of_label(model, image, LABEL)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5)


@contextmanager
def largest_tensor() -> Iterator[list[int]]:
    """Watch the number of bytes of the largest tensor that a function of PyTorch returns."""
    largest = [0]

    class Watching(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                largest[0] = max(largest[0], result.untyped_storage().nbytes())
            return result

    with Watching():
        yield largest


@pytest.mark.parametrize("pooling", ["token", "avg"])
def test_no_map_needs_a_matrix_of_tokens(pooling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    num_tokens, width, chunk = 577, 32, 64 * 577
    monkeypatch.setattr(blocks, "_CACHE_WEIGHTS", chunk)
    monkeypatch.setattr(queries_keys, "_TILE", chunk)
    options = {"embed_dim": width, "depth": 2, "num_heads": 2, "num_classes": 3, "global_pool": pooling}
    model = timm.create_model("vit_tiny_patch16_224", img_size=96, patch_size=4, **options)
    image = torch.randn(1, 3, 96, 96)
    with largest_tensor() as largest:
        for method in (
            AttentionRollout(),
            AttentionRollout("max"),
            AttentionRollout("mean", 0.2),
            LastLayerAttention(),
        ):
            method(model, image)
        AttentionRelevance().of_label(model, image, LABEL[:1])
        attention_heads(model, image)
    assert largest[0] < 4 * num_tokens**2 / 4  # float32


def test_queries_and_keys_do_not_keep_values_alive() -> None:
    together = torch.randn(1, 6, 3, 2, 4)
    query, key = together.permute(2, 0, 3, 1, 4)[:2]
    call = AttentionCall(query[:, :, :1], key, None, 0.5)
    with largest_tensor() as largest:
        QueriesAndKeys(call, "mean", None).weighted_sum(torch.ones(1, 6))
    assert largest[0] < together.untyped_storage().nbytes()


@given(seed=st.integers(0, 2**31), spread=st.sampled_from([0.1, 3.0, 30.0]), zeros=st.booleans())
@settings(max_examples=30)
def test_sums_with_the_log_sum_exp_are_those_of_a_softmax(seed: int, spread: float, zeros: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, key = spread * torch.randn(2, 2, 3, 7, 4, generator=generator)
    row = torch.rand(2, 7, generator=generator) * (torch.arange(7) > 2 if zeros else 1)
    exponents = query.double() @ key.double().transpose(2, 3) * 0.5
    expected = torch.einsum("bn,bhnm->bm", row.double(), exponents.softmax(-1)) / 3
    block = QueriesAndKeys(AttentionCall(query, key, None, 0.5), "mean", exponents.logsumexp(-1).float())
    # the exponents themselves are rounded in proportion to their size
    precision = 1e-6 + 4 * torch.finfo(torch.float32).eps * exponents.abs().max().item()
    torch.testing.assert_close(block.weighted_sum(row).double(), expected, atol=precision, rtol=0)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_log_sum_exp_of_the_forward_pass_is_reused(context: Any) -> None:
    query, key, value = torch.randn(3, 2, 2, 9, 4, generator=torch.Generator().manual_seed(0))
    with context():
        expected = F.scaled_dot_product_attention(query, key, value)
        with LogSumExpOfFused() as fused:
            assert torch.equal(F.scaled_dot_product_attention(query, key, value), expected)
        found = fused.take()
    assert found is not None
    assert fused.take() is None
    torch.testing.assert_close(found, (query @ key.transpose(2, 3) / math.sqrt(4)).logsumexp(-1))


def test_a_log_sum_exp_of_half_precision_is_not_used() -> None:
    tokens = torch.randn(1, 2, 9, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), LogSumExpOfFused() as fused:
        F.scaled_dot_product_attention(tokens, tokens, tokens)
    assert fused.take() is None
