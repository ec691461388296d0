"""Lightning callbacks. Those of a run are in the submodules; what a user adds is here and in `mmpkd.callbacks.localization`."""

from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.callbacks.ema import EMA

__all__ = ["EMA", "ImagesOnDevice"]
