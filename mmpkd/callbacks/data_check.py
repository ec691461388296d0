"""A check for data that would break training or scores, before anything is computed. It takes seconds."""

import logging
from collections.abc import Collection

from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from data_modules.checks import quick_problems
from mmpkd.numerics.processes import from_first

logger = logging.getLogger("mmpkd")


def check_served_data(
    data: PrivilegedDataModule,
    tried: Collection[str] = (),
    splits: Collection[str] = ("train", "val", "test"),
    said: set[str] | None = None,
) -> None:
    """Check the samples of a data module: log warnings, and raise an error if there are errors.

    Messages name no samples or patients, because the logs of a run may leave this machine.

    Args:
        data: The data module.
        tried: Splits that are limited to a few samples in a trial run (in addition to a training split cut by
            `max_train_samples`). Their labels may be constant.
        splits: Splits that are used.
        said: Warnings that were logged before, and need not be said again; new ones are added.

    Raises:
        ValueError: If there are errors. If there are several, they are also logged, one per line.
    """
    used = {name: split for name, split in data.splits.items() if name in splits}
    found = quick_problems(data, used, [*tried, *(["train"] if data.max_train_samples is not None else [])])
    # a split that is not used may be missing
    found = [problem for problem in found if problem.split in (*splits, "")]
    errors = [problem for problem in found if problem.severity == "error"]
    said = set() if said is None else said
    for problem in found:
        if problem.severity == "warning" and str(problem) not in said:
            said.add(str(problem))
            logger.warning("data: %s", problem)
        elif problem.severity == "error" and len(errors) > 1:
            logger.error("data: %s", problem)
    if errors:
        more = f" {len(errors) - 1} more are in the log." if len(errors) > 1 else ""
        raise ValueError(
            f"Expected data without errors but got {errors[0]}{more} `mmpkd check-data` names the samples."
        )


class DataCheck(Callback):
    """Checks the data at the start of a fit. It takes seconds, because no image is opened.

    Errors stop the fit: for example missing files, files in two splits, and labels that are constant in training or validation.
    Warnings are logged. If the trainer is limited to some batches, as in a trial run, constant labels are allowed.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the data in the first process, while the others wait.

        Raises:
            ValueError: If there are errors; in every process, with the same words.
        """
        data: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        limits = {"train": trainer.limit_train_batches, "val": trainer.limit_val_batches}
        if stage == "fit":
            tried = [name for name, limit in limits.items() if _is_part(limit)]
            from_first(lambda: check_served_data(data, tried))


def _is_part(limit: float) -> bool:
    """Return whether a limit on batches, a number or a fraction, leaves some out."""
    return isinstance(limit, int) or limit < 1
