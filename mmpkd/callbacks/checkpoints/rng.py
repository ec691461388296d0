"""A random stream for each process, saved in checkpoints for a bit-exact resume."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mmpkd.numerics.generators import generator_state, seed_generators, set_generator_state
from mmpkd.numerics.processes import all_gather

logger = logging.getLogger("mmpkd")


class RNGState(Callback):
    """Gives each process its own random stream, saves the states of all streams, and restores them in a resume.

    Lightning seeds all processes with the same seed, which gives them equal weights. Dropout would then drop the same units in
    each of them. When training starts, each of several processes therefore takes the stream of (seed, epoch, rank). A single
    process keeps the stream that its weights were drawn from.

    A run that resumes with the same number of processes restores their streams. With another number, each process takes the
    stream of (seed, epoch, rank), with the epoch in which it resumes. Order and augmentation of samples do not depend on these
    streams: they are functions of seed, epoch and index.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._saved: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the generators of all processes, by rank. This is a collective, like saving a checkpoint."""
        return self.of_all_processes(generator_state())

    @staticmethod
    def of_all_processes(state: dict[str, Any]) -> dict[str, Any]:
        """Gather a state from each process, in the form that checkpoints store. This is a collective."""
        return {"processes": all_gather(state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts, since building the model draws random numbers in between."""
        self._saved = state_dict["processes"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the state of this process, or start its stream."""
        del pl_module
        saved = self._saved
        self._saved = []
        if len(saved) == trainer.world_size:
            set_generator_state(saved[trainer.global_rank])
            return
        if saved:
            logger.info(
                "The checkpoint was saved by %d processes and this run has %d: random streams start anew",
                len(saved),
                trainer.world_size,
            )
        if saved or trainer.world_size > 1:
            seed_generators(self.seed, trainer.current_epoch, trainer.global_rank)
