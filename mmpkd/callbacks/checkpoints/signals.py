"""SIGTERM in a training over several processes."""

from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException


class StopTogether(Callback):
    """Lets all processes stop before the same batch when one of them gets SIGTERM.

    Lightning tells the others from within the signal's handler, which may interrupt another exchange between the processes: then
    they wait for each other for ever. Here the handler notes the signal, and the processes compare notes before each batch.
    """

    def __init__(self) -> None:
        self._is_told = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take Lightning's place; a single process needs no agreement."""
        del pl_module
        if stage != "fit" or trainer.world_size == 1:
            return
        self._is_told = False

        def note(signum: int, frame: FrameType | None) -> None:
            del frame
            launcher: Any = trainer.strategy.launcher
            if not self._is_told and launcher is not None:
                launcher.kill(signum)  # the processes that this one has started
            self._is_told = True

        trainer._signal_connector._sigterm_notifier_fn = note  # type: ignore[method-assign, assignment]
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: self._agree(trainer)  # type: ignore[method-assign]

    def _agree(self, trainer: Trainer) -> None:
        told = torch.tensor(int(self._is_told), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        if told.item():
            trainer._signal_connector.received_sigterm = True
            raise SIGTERMException
