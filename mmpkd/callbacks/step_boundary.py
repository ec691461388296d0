"""The end of an optimizer step, to go back to from inside a window of accumulated gradients."""

from dataclasses import dataclass
from typing import Any, Self

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from mmpkd.callbacks.rng import RNGState
from mmpkd.generators import generator_state


@dataclass(frozen=True)
class StepBoundary:
    """What changes with every batch. Weights, optimizer and schedule do not before the next step.

    Attributes:
        loops: Progress of Lightning's loops.
        position: Position in the training data.
        generators: States of the random number generators of this process.
        buffers: Buffers of the module, such as the means of a batch norm.
    """

    loops: dict[str, Any]
    position: dict[str, Any]
    generators: dict[str, Any]
    buffers: dict[str, Tensor]

    @classmethod
    def take(cls, trainer: Trainer, module: LightningModule) -> Self:
        """Keep the present state."""
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        return cls(
            trainer._checkpoint_connector._get_loops_state_dict(),
            {} if datamodule is None else datamodule.state_dict(),
            generator_state(),
            {name: buffer.clone() for name, buffer in module.named_buffers()},
        )

    def checkpoint(self, trainer: Trainer) -> dict[str, Any]:
        """Return what would have been saved then. This is a collective, as saving a checkpoint is."""
        checkpoint = trainer._checkpoint_connector.dump_checkpoint()
        checkpoint["loops"] = self.loops
        if self.position:
            checkpoint[type(trainer.datamodule).__qualname__] = self.position  # type: ignore[attr-defined]
        if "RNGState" in checkpoint["callbacks"]:
            checkpoint["callbacks"]["RNGState"] = RNGState.of_all_processes(self.generators)
        for part in (
            "state_dict",
            "current_model_state",
        ):  # the second is what is trained if an average of the weights is kept
            if part in checkpoint:
                weights = checkpoint[part]
                checkpoint[part] = {name: self.buffers.get(name, value) for name, value in weights.items()}
        return checkpoint
