"""An exponential moving average of the weights."""

import logging
from collections.abc import Iterator
from itertools import chain
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mmpkd.modules.base import ClassificationModule

logger = logging.getLogger("mmpkd")


class MovingAverage(AveragedModel):
    """A moving average of a model whose updates do not wait for the device.

    PyTorch's own update sends the number of updates to the device once per parameter, and each time waits for all queued work.

    Args:
        model: The model; the average starts as a copy of it.
        decay: Decay of the average in each update, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, use_buffers=True)
        self.decay = decay
        # such as attention masks, which are infinite by design: the difference of two infinities is NaN
        self._infinite = {i for i, tensor in enumerate(_tensors(model)) if not torch.isfinite(tensor).all()}

    @property
    def has_started(self) -> bool:
        """Whether there was an update."""
        return int(self.n_averaged) > 0  # on the CPU, see `EMA.on_fit_start`

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move parameters and buffers towards those of the model; the first update copies them, and each one whole numbers."""
        if not self.has_started:
            self.copy_parameters(model)
        else:
            new = self._groups(model)
            for (dtype, is_infinite), own in self._groups(self.module).items():
                if is_infinite or not dtype.is_floating_point:
                    torch._foreach_copy_(own, new[dtype, is_infinite])
                else:
                    torch._foreach_lerp_(own, new[dtype, is_infinite], 1 - self.decay)
        self.n_averaged += 1

    @torch.no_grad()
    def copy_parameters(self, model: nn.Module) -> None:
        """Set parameters and buffers to those of the model."""
        for own, new in zip(_tensors(self.module), _tensors(model), strict=True):
            own.copy_(new, non_blocking=True)

    def _groups(self, model: nn.Module) -> dict[tuple[torch.dtype, bool], list[Tensor]]:
        """Return the tensors by data type, and whether they are infinite."""
        found: dict[tuple[torch.dtype, bool], list[Tensor]] = {}
        for i, tensor in enumerate(_tensors(model)):
            found.setdefault((tensor.dtype, i in self._infinite), []).append(tensor)
        return found


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return chain(model.parameters(), model.buffers())


class EMA(EMAWeightAveraging):
    """Exponential moving average of all weights, based on Lightning's `EMAWeightAveraging`.

    Validation and the tested checkpoint use the average. It is created when fitting starts, because some layers are built after
    callbacks are set up.

    Args:
        decay: Decay of the average in each update, in [0, 1).
        update_every_n_steps: Number of steps between updates, >= 1.
        update_starting_at_step: Step of the first update; None for the first step. Until then, the average is the weights
            themselves.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self, decay: float = 0.999, update_every_n_steps: int = 1, update_starting_at_step: int | None = None
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"Expected a decay of EMA in [0, 1) but got {decay}.")
        if update_every_n_steps < 1:
            raise ValueError(f"Expected update_every_n_steps of EMA of at least 1 but got {update_every_n_steps}.")
        super().__init__(
            decay=decay, update_every_n_steps=update_every_n_steps, update_starting_at_step=update_starting_at_step
        )
        self.decay = decay

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the precision; the average starts later, when the module has all of its layers.

        Raises:
            ValueError: If the weights are in half precision.
        """
        if trainer.precision in ("bf16-true", "16-true"):
            raise ValueError(
                f"Expected weights in float32 for EMA but got precision '{trainer.precision}', in which updates of the average "
                "are rounded away. Use bf16-mixed."
            )

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the average of an interrupted fit. For a test, the weights of the checkpoint already are the average."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._start(pl_module)
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average as the weights of the checkpoint, and the trained weights beside them."""
        self._follow(pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the average as the module's weights."""
        self._follow(pl_module)
        super().on_train_end(trainer, pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch to the average."""
        self._follow(pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing: Lightning would switch back to the trained weights before other callbacks have used the average."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch back to the trained weights before a checkpoint is saved."""
        super().on_validation_epoch_end(trainer, pl_module)
        if self._average_model is not None and isinstance(pl_module, ClassificationModule):
            # the F1 thresholds were chosen with the average; once the module has them too, averaging does not change them
            average = cast("ClassificationModule", self._average_model.module)
            pl_module.scores.thresholds.copy_(average.scores.thresholds)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the average at the current weights unless one was restored, and move it to their device."""
        average = self._start(pl_module)
        average.module.to(pl_module.device)
        # it is read at every step, which on a GPU would wait for all queued work
        average.n_averaged = average.n_averaged.cpu()
        first = self.update_starting_at_step or 0
        if 0 < trainer.estimated_stepping_batches <= first:
            logger.warning(
                "Expected update_starting_at_step of EMA below %d, the number of steps, but got %d: no weights will be averaged.",
                trainer.estimated_stepping_batches,
                first,
            )

    def _start(self, pl_module: LightningModule) -> MovingAverage:
        if self._average_model is None:
            self._average_model = MovingAverage(pl_module, self.decay)
        return cast("MovingAverage", self._average_model)

    def _follow(self, pl_module: LightningModule) -> None:
        """Let the average be the present weights as long as it has not started; they were untrained when it was made."""
        average = cast("MovingAverage | None", self._average_model)
        if average is not None and not average.has_started:
            average.copy_parameters(pl_module)
