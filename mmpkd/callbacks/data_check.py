"""Data that would break a training or its scores, said before anything is computed, as far as that takes seconds."""

import logging
from collections.abc import Collection

from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from data_modules.checks import quick_problems

logger = logging.getLogger("mmpkd")


def check_served_data(data: PrivilegedDataModule, unscored: Collection[str] = (), is_logged: bool = True) -> None:
    """Check what a data module serves: warnings are logged, and errors end the command.

    Neither names a sample or a patient: the logs of a run may leave this machine.

    Args:
        data: The data module.
        unscored: Splits whose labels need not have both values.
        is_logged: Whether this process logs.

    Raises:
        ValueError: If there are errors; several are also logged, one a line.
    """
    found = quick_problems(data, data.splits)
    found = [problem for problem in found if problem.check != "labels" or problem.split not in unscored]
    errors = [problem for problem in found if problem.severity == "error"]
    if is_logged:
        for problem in found:
            if problem.severity == "warning":
                logger.warning("data: %s", problem)
            elif len(errors) > 1:
                logger.error("data: %s", problem)
    if errors:
        more = f" {len(errors) - 1} more are logged." if len(errors) > 1 else ""
        raise ValueError(
            f"Expected data without errors but got {errors[0]}{more} `mmpkd check-data` names the samples."
        )


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
