"""MIMIC-CXR with reports, and the regions of MS-CXR, REFLACX and Chest ImaGenome."""

from data_modules.mimic_cxr.datamodule import MIMICCXRDataModule
from data_modules.mimic_cxr.table_from_text import TableFromText

__all__ = ["MIMICCXRDataModule", "TableFromText"]
