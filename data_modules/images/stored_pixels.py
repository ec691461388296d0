"""Grey values of pixels as they are stored, in 8 or 16 bits: in a loader process, or later and in fewer bytes on a device.

Both ways give the same floats bit by bit on a CPU.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_modules.images.preparation import Image

# PyTorch has hardly any arithmetic for uint16, so its bits are kept in int16
TYPES = {"uint8": torch.uint8, "uint16": torch.int16}
_LARGEST = {torch.uint8: 255, torch.int16: 65535}


def in_unit_range(pixels: NDArray[Any]) -> Image:
    """Return stored pixels as grey values, float32 in [0, 1].

    Args:
        pixels: Uint8 or uint16, of any shape.
    """
    scale = np.float32(1 / np.iinfo(pixels.dtype).max)
    values: Image = np.multiply(pixels, scale, dtype=np.float32)
    return values


def for_torch(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return stored pixels in a type of `TYPES`, without a copy."""
    return pixels.view(np.int16) if pixels.dtype == np.uint16 else pixels


def grey_values(stored: Tensor) -> Tensor:
    """Return pixels of a type of `TYPES` as grey values, float32 in [0, 1], on their device."""
    # undo the sign that int16 gave to the upper half of uint16
    pixels = stored.int() & 0xFFFF if stored.dtype == torch.int16 else stored
    return pixels.to(torch.float32).mul_(1 / _LARGEST[stored.dtype])
