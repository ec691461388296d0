"""MIMIC-CXR-JPG with reports and the boxes of MS-CXR."""

from data_modules.mimic_cxr.datamodule import MIMICCXRDataModule

__all__ = ["MIMICCXRDataModule"]
