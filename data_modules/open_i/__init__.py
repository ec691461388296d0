"""Open-i: reports of the Indiana University chest X-ray collection."""

from data_modules.open_i.datamodule import OpenIDataModule

__all__ = ["OpenIDataModule"]
