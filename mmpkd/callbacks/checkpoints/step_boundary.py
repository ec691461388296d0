"""The end of an optimizer step, to go back to from inside a window of accumulated gradients."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Self

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from mmpkd.callbacks.checkpoints.rng import RNGState
from mmpkd.callbacks.ema import EMA
from mmpkd.numerics.generators import generator_state


@dataclass(frozen=True)
class StepBoundary:
    """What changes with every batch. Weights, optimizer and schedule do not before the next step.

    Attributes:
        loops: Progress of Lightning's loops.
        callbacks: States of the callbacks: a validation may fall into the window, which is made again.
        position: Position in the training data.
        generators: States of the random number generators of this process.
        buffers: Buffers of the module, such as the means of a batch norm.
        average_buffers: Those of an average of its weights, whose thresholds a validation sets; empty if there is none.
    """

    loops: dict[str, Any]
    callbacks: dict[str, Any]
    position: dict[str, Any]
    generators: dict[str, Any]
    buffers: dict[str, Tensor]
    average_buffers: dict[str, Tensor]

    @classmethod
    def take(cls, trainer: Trainer, module: LightningModule) -> Self:
        """Keep the present state."""
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        every: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        # the states of the generators are asked of all processes, which is for later
        callbacks = {own.state_key: own.state_dict() for own in every if not isinstance(own, RNGState)}
        averages = [
            own._average_model.module for own in every if isinstance(own, EMA) and own._average_model is not None
        ]
        return cls(
            trainer._checkpoint_connector._get_loops_state_dict(),
            deepcopy({key: state for key, state in callbacks.items() if state}),
            {} if datamodule is None else datamodule.state_dict(),
            generator_state(),
            _buffers(module),
            _buffers(averages[0]) if averages else {},
        )

    def checkpoint(self, trainer: Trainer) -> dict[str, Any]:
        """Return what would have been saved then. This is a collective, as saving a checkpoint is."""
        checkpoint = trainer._checkpoint_connector.dump_checkpoint()
        checkpoint["loops"] = self.loops
        checkpoint["callbacks"] |= self.callbacks
        if self.position:
            checkpoint[type(trainer.datamodule).__qualname__] = self.position  # type: ignore[attr-defined]
        if "RNGState" in checkpoint["callbacks"]:
            checkpoint["callbacks"]["RNGState"] = RNGState.of_all_processes(self.generators)
        if "current_model_state" in checkpoint:  # the other part is an average of the weights
            parts = {"state_dict": self.average_buffers, "current_model_state": self.buffers}
        else:
            parts = {"state_dict": self.buffers}
        for part, buffers in parts.items():
            checkpoint[part] = {name: buffers.get(name, value) for name, value in checkpoint[part].items()}
        return checkpoint


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}
