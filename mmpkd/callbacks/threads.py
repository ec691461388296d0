"""How many processors a model on the CPU uses."""

import os

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.processors import num_processors

SMALL = 5_000_000


class Threads(Callback):
    """Runs small models on one thread of the CPU, and others on the processors that the process may use.

    A model below 5 million parameters gains little from a second thread, see docs/benchmarks.md. On one thread its results do
    not depend on the number of processors, and a busy machine does not slow it down many times over. A number in
    OMP_NUM_THREADS wins. Nothing is changed on a GPU.
    """

    def __init__(self) -> None:
        # asked now: Lightning sets it when it starts the processes of a distributed run
        self._is_chosen = os.environ.get("OMP_NUM_THREADS", "") != ""
        self._before = 0

    def _apply(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_chosen or trainer.strategy.root_device.type != "cpu" or self._before:
            return
        self._before = torch.get_num_threads()
        is_small = sum(parameter.numel() for parameter in pl_module.parameters()) < SMALL
        torch.set_num_threads(1 if is_small else min(self._before, num_processors()))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the number of threads."""
        self._apply(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the number of threads."""
        self._apply(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the number of threads."""
        self._apply(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the number of threads."""
        self._apply(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the threads back to what comes next in this process."""
        if self._before:
            torch.set_num_threads(self._before)
            self._before = 0

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the threads back after an error."""
        self.teardown(trainer, pl_module, "")
