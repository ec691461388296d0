"""Bring your own data: one table with images, labels, privileged text or columns, and regions of interest."""

from data_modules.table.datamodule import TableDataModule

__all__ = ["TableDataModule"]
