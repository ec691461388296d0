"""MIMIC-CXR with reports, and the regions of MS-CXR, REFLACX and Chest ImaGenome."""

from data_modules.mimic_cxr.datamodule import MIMICCXRDataModule

__all__ = ["MIMICCXRDataModule"]
