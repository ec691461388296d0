"""A stream of random numbers for each process, and its state in checkpoints, for a bit-exact resume."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mmpkd.callbacks.tables import all_gather
from mmpkd.numerics.generators import generator_state, seed_generators, set_generator_state

logger = logging.getLogger("mmpkd")


class RNGState(Callback):
    """Gives each process random numbers of its own, saves the states of all processes, and restores them in a resume.

    Lightning seeds all processes alike, so that their weights are equal; dropout would then drop the same units in each of
    them. When training starts, each of several processes takes the stream of (seed, epoch, rank). A single process goes on
    with the stream that its weights were drawn from.

    A run that goes on with as many processes as before goes on with their streams. With another number of processes, each one
    takes the stream of (seed, epoch, rank), where the epoch is the one it goes on in. Order and augmentation of the
    samples depend on neither: they are functions of seed, epoch and index.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._saved: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the generators, one a process, by rank. This is a collective, as saving a checkpoint is."""
        return self.of_all_processes(generator_state())

    @staticmethod
    def of_all_processes(state: dict[str, Any]) -> dict[str, Any]:
        """Return what a checkpoint holds of the states that the processes give. This is a collective."""
        return {"processes": all_gather(state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts; model set-up draws random numbers in between."""
        self._saved = state_dict["processes"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the state of this process, or start its stream."""
        del pl_module
        saved, self._saved = self._saved, []
        if len(saved) == trainer.world_size:
            set_generator_state(saved[trainer.global_rank])
            return
        if saved:
            logger.info(
                "The checkpoint is of %d processes and this run has %d: random numbers start anew",
                len(saved),
                trainer.world_size,
            )
        if saved or trainer.world_size > 1:
            seed_generators(self.seed, trainer.current_epoch, trainer.global_rank)
