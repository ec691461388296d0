"""CBIS-DDSM: digitised film mammograms with lesion descriptors, pathology and lesion masks."""

from data_modules.cbis_ddsm.datamodule import CBISDDSMDataModule

__all__ = ["CBISDDSMDataModule"]
