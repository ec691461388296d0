"""Mammograms with regions, for evaluating students trained on other data."""

from data_modules.mammography_sets.inbreast import INbreast
from data_modules.mammography_sets.vindr_mammo import VinDrMammo

__all__ = ["INbreast", "VinDrMammo"]
