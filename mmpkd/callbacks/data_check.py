"""Data that would break a training or its scores, said before anything is computed, as far as that takes seconds."""

import logging
from collections.abc import Collection

from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from data_modules.checks import quick_problems

logger = logging.getLogger("mmpkd")


def check_served_data(
    data: PrivilegedDataModule,
    tried: Collection[str] = (),
    is_logged: bool = True,
    splits: Collection[str] = ("train", "val", "test"),
) -> None:
    """Check what a data module serves: warnings are logged, and errors end the command.

    Neither names a sample or a patient: the logs of a run may leave this machine.

    Args:
        data: The data module.
        tried: Splits of which a few samples are used to try a training, beside those that `max_train_samples` cuts; they may lack
            one value of a label.
        is_logged: Whether this process logs.
        splits: Splits that are used.

    Raises:
        ValueError: If there are errors; several are also logged, one a line.
    """
    used = {name: split for name, split in data.splits.items() if name in splits}
    found = quick_problems(data, used, [*tried, *(["train"] if data.max_train_samples is not None else [])])
    # a split that is not used may be missing
    found = [problem for problem in found if problem.split in (*splits, "")]
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
