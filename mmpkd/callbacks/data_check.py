"""Data that would break a training or its scores, said before anything is computed."""

from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from mmpkd.data_check import check_served_data


class DataCheck(Callback):
    """Checks the data at the start of a fit, as far as that takes seconds: no image is opened.

    Errors stop the fit, such as missing files, files that two splits share, and labels without both values in training or
    validation. Warnings are logged.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the data.

        Raises:
            ValueError: If there are errors.
        """
        data: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if stage == "fit":
            unscored = ("val",) if trainer.limit_val_batches == 0 else ()
            check_served_data(data, unscored, trainer.is_global_zero)
