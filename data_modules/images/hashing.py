"""Random numbers from hashes of their purpose: the same on any device, in any order, for any number of processes."""

import torch
from torch import Tensor

MASK = 0xFFFFFFFF


def scramble(value: Tensor) -> Tensor:
    """Return the lowbias32 hash (https://nullprogram.com/blog/2018/07/31/) of 32-bit integers.

    Args:
        value: Int64, each in [0, 2^32); PyTorch has no arithmetic for uint32.

    Returns:
        Int64 of the same shape, each in [0, 2^32).
    """
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        value = ((value ^ (value >> shift)) * factor) & MASK
    return value ^ (value >> 16)


def to_uniform(bits: Tensor) -> Tensor:
    """Return float32 in [0, 1) from 32-bit integers held in int64."""
    return (bits >> 8).to(torch.float32) / 2**24
