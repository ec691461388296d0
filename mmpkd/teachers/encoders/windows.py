"""Tokenization of texts, with windows for long texts, and batches of texts of similar length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tokenizers
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from mmpkd.numerics.device_values import tensor_on

Encode = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Windows:
    """Split texts that are longer than the encoder's input into overlapping windows.

    Attributes:
        overlap: Number of tokens that two neighbouring windows share, >= 0.

    Raises:
        ValueError: If the overlap is negative.
    """

    overlap: int = 32

    def __post_init__(self) -> None:
        if self.overlap < 0:
            raise ValueError(f"Expected windows.overlap of 0 or more but got {self.overlap}.")


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], windows: bool) -> tuple[list[list[int]], list[int]]:
    """Return the tokens of every window, and the index of the text that each window belongs to.

    Args:
        tokenizer: A tokenizer with truncation to the longest input, whose stride is the overlap of windows.
        texts: The texts.
        windows: Whether to split long texts into windows; otherwise they are truncated.

    Raises:
        ValueError: If the windows of a text do not contain all of its tokens, or the tokenizer does not truncate.
    """
    if not windows:
        cut = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        return cut, list(range(len(cut)))
    tokens = []
    owner = []
    limits = tokenizer.truncation
    if limits is None:
        raise ValueError("Expected a tokenizer with truncation to the size of the windows but it has none.")
    size = limits["max_length"] - tokenizer.num_special_tokens_to_add(False)
    # some releases of tokenizers truncate while encoding and lose the tokens after the first window
    tokenizer.no_truncation()
    try:
        for position, whole in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            parts = _windows(tokenizer, whole, size, limits["stride"])
            tokens += parts
            owner += [position] * len(parts)
    finally:
        tokenizer.enable_truncation(**limits)
    return tokens, owner


def _windows(tokenizer: Tokenizer, whole: Encoding, size: int, overlap: int) -> list[list[int]]:
    """Return the windows of a text, each with at most `size` tokens plus special tokens.

    Raises:
        ValueError: If the windows do not contain all tokens of the text.
    """
    ids = whole.ids
    whole.truncate(size, stride=overlap)
    first = tokenizer.post_process(whole)
    parts = [first, *first.overflowing]
    covered = _without_special(first)
    for part in first.overflowing:
        covered += _without_special(part)[overlap:]
    if covered != ids:
        raise ValueError(
            f"Expected windows with all {len(ids)} tokens of a text but {len(parts)} windows contain {len(covered)} of them, in "
            f"tokenizers {tokenizers.__version__}. Install the release of requirements.lock, or leave out encoder.windows."
        )
    return [part.ids for part in parts]


def _without_special(part: Encoding) -> list[int]:
    return [token for token, special in zip(part.ids, part.special_tokens_mask, strict=True) if not special]


def encode_in_buckets(
    encode: Encode, tokens: Sequence[Sequence[int]], pad: int, bucket_size: int, device: torch.device
) -> Tensor:
    """Encode sequences of similar length together, which needs little padding.

    Args:
        encode: Maps tokens, int64 (b, L), and a mask, int64 (b, L) with 0 for padding, to features (b, D).
        tokens: B sequences.
        pad: The padding token.
        bucket_size: Number of sequences per call.
        device: Device to compute on.

    Returns:
        Features (B, D) in the order of the sequences.
    """
    order = list(range(len(tokens)))
    # a single bucket is padded to the longest sequence in any order
    if len(tokens) > bucket_size:
        order.sort(key=lambda position: len(tokens[position]))
    parts = []
    for start in range(0, len(order), bucket_size):
        chosen = [tokens[position] for position in order[start : start + bucket_size]]
        longest = max(len(ids) for ids in chosen)
        ids = tensor_on(device, [[*ids, *[pad] * (longest - len(ids))] for ids in chosen])
        mask = tensor_on(device, [[1] * len(ids) + [0] * (longest - len(ids)) for ids in chosen])
        parts.append(encode(ids, mask))
    # back from the order of lengths to the order of the sequences
    place = sorted(range(len(order)), key=order.__getitem__)
    return torch.cat(parts)[tensor_on(device, place, torch.int64)]
