"""Chest radiographs with regions, for evaluating students trained on other data."""

from data_modules.chest_sets.chexlocalize import CheXlocalize
from data_modules.chest_sets.nih_chestxray14 import NIHChestXray14
from data_modules.chest_sets.padchest_gr import PadChestGR
from data_modules.chest_sets.vindr_cxr import VinDrCXR

__all__ = ["CheXlocalize", "NIHChestXray14", "PadChestGR", "VinDrCXR"]
