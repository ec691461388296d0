"""Synthetic data in the real layouts, so that everything runs without credentials or downloads."""

from data_modules.phantoms.breast.layout import write_breast_phantoms
from data_modules.phantoms.chest.layout import write_chest_phantoms
from data_modules.phantoms.datamodules import BreastPhantomDataModule, ChestPhantomDataModule

__all__ = ["BreastPhantomDataModule", "ChestPhantomDataModule", "write_breast_phantoms", "write_chest_phantoms"]
