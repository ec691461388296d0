"""Callbacks that interrupt a training or look at its process, for tests of what survives."""

import multiprocessing
import os
import signal
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.batch import Batch
from data_modules.files.json_file import write_json


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


class Witness(Callback):
    """Writes down how the process of a training is set up.

    Args:
        path: JSON file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seen = {"start_method": multiprocessing.get_start_method(), "num_threads": torch.get_num_threads()}
        write_json(self.path, seen)


class KillAt(Callback):
    """Kills the own process at a hook, or breaks off there.

    Args:
        hook: Name of the hook, for example on_validation_end.
        epoch: Epoch, from 0.
        is_killed: Whether the process is killed.
    """

    def __init__(self, hook: str, epoch: int, is_killed: bool = True) -> None:
        self.hook, self.epoch, self.is_killed = hook, epoch, is_killed
        setattr(self, hook, self._kill)

    def _kill(self, trainer: Trainer, *_: object) -> None:
        if trainer.current_epoch != self.epoch:
            return
        if self.is_killed:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ConnectionError("broken off")


class StopAt(Callback):
    """Breaks off at a hook, as a crash would, or sends SIGTERM to the own process there.

    Args:
        hook: Name of the hook, for example on_train_batch_start.
        batch: Batch, counted over the whole training.
        is_told: Whether a signal announces the end.
    """

    def __init__(self, hook: str, batch: int, is_told: bool = False) -> None:
        self.batch, self.is_told = batch, is_told
        setattr(self, hook, self._stop)

    def _stop(self, trainer: Trainer, *_: object) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx != self.batch:
            return
        if self.is_told:
            signal.raise_signal(signal.SIGTERM)
        else:
            raise ConnectionError("broken off")


class SeenSamples(Callback):
    """Notes the samples of every training batch.

    Args:
        path: Text file, one line a batch.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        with self.path.open("a") as file:
            file.write(" ".join(batch["sample_id"]) + "\n")
