"""Callbacks that interrupt a training, for tests of what survives."""

import os
import signal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class SignalAt(Callback):
    """Sends a signal to the own process at the start of a step.

    Args:
        step: Step, counted over the whole training.
        number: Signal number.
    """

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.Signals(self.number))


class BreakAt(Callback):
    """Makes the gradients NaN in one step.

    Args:
        step: The step.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == self.step:
            for parameter in pl_module.parameters():
                if parameter.grad is not None:
                    parameter.grad = torch.full_like(parameter.grad, torch.nan)
