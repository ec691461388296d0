"""Lightning callbacks. Every run has those in the submodules; users can add those here and in `mmpkd.callbacks.localization`."""

from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.callbacks.ema import EMA

__all__ = ["EMA", "ImagesOnDevice"]
