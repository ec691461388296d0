"""From texts to padded batches of tokens: long texts in windows, short ones together."""

from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

Encode = Callable[[Tensor, Tensor], Tensor]


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], windows: bool) -> tuple[list[list[int]], list[int]]:
    """Return the tokens of every window, and which text it belongs to, in order.

    Args:
        tokenizer: Truncates to the longest input, with the overlap of windows as stride.
        texts: The texts.
        windows: Whether what is cut off becomes further windows.
    """
    tokens, owner = [], []
    for position, encoding in enumerate(tokenizer.encode_batch(list(texts))):
        parts = [encoding, *(encoding.overflowing if windows else [])]
        tokens += [part.ids for part in parts]
        owner += [position] * len(parts)
    return tokens, owner


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
