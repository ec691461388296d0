"""From texts to padded batches of tokens: long texts in windows, short ones together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tokenizers
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

Encode = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Windows:
    """How a text that is longer than the longest input is cut into windows.

    Attributes:
        overlap: Tokens that two windows share, >= 0.

    Raises:
        ValueError: If the overlap is negative.
    """

    overlap: int = 32

    def __post_init__(self) -> None:
        if self.overlap < 0:
            raise ValueError(f"Expected windows.overlap of 0 or more but got {self.overlap}.")


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], windows: bool) -> tuple[list[list[int]], list[int]]:
    """Return the tokens of every window, and which text it belongs to, in order.

    Args:
        tokenizer: Truncates to the longest input, with the overlap of windows as stride.
        texts: The texts.
        windows: Whether what is cut off becomes further windows.

    Raises:
        ValueError: If the windows of a text do not hold all of its tokens, or the tokenizer does not say how long they are.
    """
    if not windows:
        cut = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        return cut, list(range(len(cut)))
    tokens = []
    owner = []
    limits = tokenizer.truncation
    if limits is None:
        raise ValueError("Expected a tokenizer that truncates, at the size of the windows, but it does not.")
    size = limits["max_length"] - tokenizer.num_special_tokens_to_add(False)
    # releases of tokenizers that truncate while they read lose what comes after the first window
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
    """Return the windows of a whole text, at most `size` tokens each and the special ones, after checking them."""
    ids = whole.ids
    whole.truncate(size, stride=overlap)
    first = tokenizer.post_process(whole)
    parts = [first, *first.overflowing]
    own = [[i for i, special in zip(part.ids, part.special_tokens_mask, strict=True) if not special] for part in parts]
    covered = own[0] + [i for part in own[1:] for i in part[overlap:]]
    if covered != ids:
        raise ValueError(
            f"Expected windows that hold all {len(ids)} tokens of a text but {len(parts)} hold {len(covered)} of them, in "
            f"tokenizers {tokenizers.__version__}. Install the release of requirements.lock, or leave out encoder.windows."
        )
    return [part.ids for part in parts]


def encode_in_buckets(
    encode: Encode, tokens: Sequence[Sequence[int]], pad: int, bucket_size: int, device: torch.device
) -> Tensor:
    """Encode sequences of about the same length together, so that little is padded.

    Args:
        encode: Maps tokens (b, L) and a mask int64 (b, L), 1 where a token is, to features (b, D).
        tokens: B sequences.
        pad: The token that fills up.
        bucket_size: Sequences a call.
        device: Where to compute.

    Returns:
        Features (B, D) in the order of the sequences.
    """
    order = list(range(len(tokens)))
    if len(tokens) > bucket_size:
        order.sort(key=lambda position: len(tokens[position]))
    parts = []
    for start in range(0, len(order), bucket_size):
        chosen = [tokens[position] for position in order[start : start + bucket_size]]
        longest = max(len(ids) for ids in chosen)
        ids = torch.tensor([[*ids, *[pad] * (longest - len(ids))] for ids in chosen], device=device)
        mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in chosen], device=device)
        parts.append(encode(ids, mask))
    inverse = torch.empty(len(order), dtype=torch.int64)
    inverse[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(parts)[inverse.to(device)]
