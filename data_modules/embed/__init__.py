"""EMBED: digital mammograms with descriptors, pathology and boxes."""

from data_modules.embed.datamodule import EMBEDDataModule

__all__ = ["EMBEDDataModule"]
