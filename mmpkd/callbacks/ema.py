"""An exponential moving average of the weights."""

from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mmpkd.modules.base import ClassificationModule


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

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move parameters and buffers towards those of the model; the first update copies them, and each one whole numbers."""
        new = _tensors_by_type(model)
        is_first = int(self.n_averaged) == 0  # on the CPU, see `EMA.on_fit_start`
        for dtype, own in _tensors_by_type(self.module).items():
            if is_first or not dtype.is_floating_point:
                torch._foreach_copy_(own, new[dtype])
            else:
                torch._foreach_lerp_(own, new[dtype], 1 - self.decay)
        self.n_averaged += 1


def _tensors_by_type(model: nn.Module) -> dict[torch.dtype, list[Tensor]]:
    found: dict[torch.dtype, list[Tensor]] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        found.setdefault(tensor.dtype, []).append(tensor)
    return found


class EMA(EMAWeightAveraging):
    """Exponential moving average of all weights, based on Lightning's `EMAWeightAveraging`.

    Validation and the tested checkpoint use the average. It is created when fitting starts, because some layers are built after
    callbacks are set up.

    Args:
        decay: Decay of the average in each update, in [0, 1).
        update_every_n_steps: Number of steps between updates, >= 1.
        update_starting_at_step: Step of the first update; None for the first step.

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

    def _start(self, pl_module: LightningModule) -> AveragedModel:
        if self._average_model is None:
            self._average_model = MovingAverage(pl_module, self.decay)
        return self._average_model
