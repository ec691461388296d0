"""A copy of the state after an optimizer step, to save while gradients are accumulated for the next one."""

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
    """Copy of everything that changes with each batch, taken after an optimizer step.

    Weights, optimizer and schedule are not included, because they do not change before the next step.

    Attributes:
        loops: Progress of Lightning's loops.
        callbacks: States of the callbacks. A validation may run before the next step, and a resumed run repeats it.
        position: Position in the training data.
        generators: States of the random number generators of this process.
        buffers: Buffers of the module, such as the running means of a batch norm.
        average_buffers: Buffers of the average of its weights, whose thresholds a validation sets; empty without an average.
    """

    loops: dict[str, Any]
    callbacks: dict[str, Any]
    position: dict[str, Any]
    generators: dict[str, Any]
    buffers: dict[str, Tensor]
    average_buffers: dict[str, Tensor]

    @classmethod
    def take(cls, trainer: Trainer, module: LightningModule) -> Self:
        """Copy the current state."""
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        every: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        # gathering the states of all generators is a collective, which can wait until the state is saved
        callbacks = {own.state_key: own.state_dict() for own in every if not isinstance(own, RNGState)}
        averages = [
            own._average_model.module for own in every if isinstance(own, EMA) and own._average_model is not None
        ]
        return cls(
            trainer._checkpoint_connector._get_loops_state_dict(),
            # a callback's state may be an object that the next batch changes
            deepcopy({key: state for key, state in callbacks.items() if state}),
            {} if datamodule is None else datamodule.state_dict(),
            generator_state(),
            _buffers(module),
            _buffers(averages[0]) if averages else {},
        )

    def checkpoint(self, trainer: Trainer) -> dict[str, Any]:
        """Return the checkpoint of this state. This is a collective, like saving a checkpoint."""
        checkpoint = trainer._checkpoint_connector.dump_checkpoint()
        checkpoint["loops"] = self.loops
        checkpoint["callbacks"] |= self.callbacks
        if self.position:
            checkpoint[type(trainer.datamodule).__qualname__] = self.position  # type: ignore[attr-defined]
        if "RNGState" in checkpoint["callbacks"]:
            checkpoint["callbacks"]["RNGState"] = RNGState.of_all_processes(self.generators)
        if "current_model_state" in checkpoint:  # with EMA, `state_dict` is the average of the weights
            parts = {"state_dict": self.average_buffers, "current_model_state": self.buffers}
        else:
            parts = {"state_dict": self.buffers}
        for part, buffers in parts.items():
            checkpoint[part] = {name: buffers.get(name, value) for name, value in checkpoint[part].items()}
        return checkpoint


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}
