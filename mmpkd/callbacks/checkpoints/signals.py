"""Stopping all processes of distributed training together on SIGTERM."""

from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException


class StopTogether(Callback):
    """Makes all processes stop before the same batch when one of them receives SIGTERM.

    Lightning informs the others from within the signal handler. If that interrupts another collective, the processes wait for
    each other forever. Here the handler only sets a flag, and the processes exchange their flags before each batch.
    """

    def __init__(self) -> None:
        self._has_signal = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Replace Lightning's handler and its exchange. A single process needs neither."""
        del pl_module
        if stage != "fit" or trainer.world_size == 1:
            return
        self._has_signal = False

        def note(signum: int, frame: FrameType | None) -> None:
            del frame
            launcher: Any = trainer.strategy.launcher
            if not self._has_signal and launcher is not None:
                launcher.kill(signum)  # passes the signal on to the processes that this one has started
            self._has_signal = True

        trainer._signal_connector._sigterm_notifier_fn = note  # type: ignore[method-assign, assignment]
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: self._agree(trainer)  # type: ignore[method-assign]

    def _agree(self, trainer: Trainer) -> None:
        """Stop if any process has received the signal. This is a collective."""
        flag = torch.tensor(int(self._has_signal), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        if flag.item():
            trainer._signal_connector.received_sigterm = True
            raise SIGTERMException
