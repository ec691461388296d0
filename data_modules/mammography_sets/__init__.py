"""Mammograms with regions, to evaluate students of other data on."""

from data_modules.mammography_sets.inbreast import INbreast
from data_modules.mammography_sets.vindr_mammo import VinDrMammo

__all__ = ["INbreast", "VinDrMammo"]
