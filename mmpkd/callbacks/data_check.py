"""Data that would break a training or its scores, said before anything is computed."""

from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from mmpkd.data_check import check_served_data


class DataCheck(Callback):
    """Checks the data at the start of a fit, as far as that takes seconds: no image is opened.

    Errors stop the fit, such as missing files, files that two splits share, and labels without both values in training or
    validation. Warnings are logged. Where the trainer is limited to some batches, to try a training, labels may lack a value.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the data.

        Raises:
            ValueError: If there are errors.
        """
        data: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        limits = {"train": trainer.limit_train_batches, "val": trainer.limit_val_batches}
        if stage == "fit":
            check_served_data(data, [name for name, limit in limits.items() if _is_part(limit)], trainer.is_global_zero)


def _is_part(limit: float) -> bool:
    """Return whether a limit of batches, a number or a share, leaves some out."""
    return isinstance(limit, int) or limit < 1
