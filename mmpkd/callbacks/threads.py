"""Number of CPU threads that a run uses."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mmpkd.numerics.threads import chosen_threads, set_threads


class Threads(Callback):
    """Runs small models on one CPU thread, and larger ones on all processors of this process.

    A number set in OMP_NUM_THREADS takes precedence. Nothing changes on a GPU.
    """

    def __init__(self) -> None:
        # checked now, because Lightning sets the variable when it starts the processes of a distributed run
        self._are_chosen = chosen_threads() is not None
        self._before = 0

    def _set(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._before or self._are_chosen or trainer.strategy.root_device.type != "cpu":
            return
        self._before = set_threads(pl_module, num_processes=trainer.num_devices)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the number of threads."""
        self._set(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the number of threads, unless a fit has set it."""
        self._set(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the number of threads."""
        self._set(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the number of threads."""
        self._set(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the number of threads from before the run."""
        del trainer, pl_module, stage
        if self._before:
            torch.set_num_threads(self._before)
            self._before = 0

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the number of threads after an error."""
        del exception
        self.teardown(trainer, pl_module, "")
