"""Stateless samplers: the order is a function of (seed, epoch), shards are never padded."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

Key = tuple[int, int]


class EpochSampler(Sampler[Key]):
    """Yields (epoch, index) in an order that depends on the seed and the epoch only.

    Resuming inside an epoch needs no generator state: the order is recomputed and the samples already seen are
    skipped. They are counted over all processes, so that another number of processes can go on.

    Args:
        num_samples: Size of the split.
        seed: Seed of the order.
        shuffle: Whether the order is random; otherwise it is 0, 1, 2, ...
        start_epoch: Epoch to begin with.
        start_sample: Samples of that epoch, over all processes, that were already seen.
        rank: Rank of this process.
        world_size: Number of processes. For a shuffled (training) order all ranks get the same number of samples by
            leaving out at most world_size - 1; otherwise every sample is served exactly once and ranks may differ by
            one.
    """

    def __init__(
        self,
        num_samples: int,
        seed: int = 0,
        shuffle: bool = True,
        start_epoch: int = 0,
        start_sample: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_samples, self.seed, self.shuffle = num_samples, seed, shuffle
        self.epoch, self.start_epoch, self.start_sample = start_epoch, start_epoch, start_sample
        self.rank, self.world_size = rank, world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration serves; Lightning calls it at the start of each."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of samples of a whole epoch on this rank, also when resuming inside one."""
        if self.shuffle:
            return self.num_samples // self.world_size
        return len(range(self.rank, self.num_samples, self.world_size))

    def __iter__(self) -> Iterator[Key]:
        order = list(range(self.num_samples))
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.num_samples, generator=generator).tolist()
        left = order[self.start_sample :] if self.epoch == self.start_epoch else order
        own = left[self.rank :: self.world_size]
        if self.shuffle:
            own = own[: len(left) // self.world_size]
        epoch = self.epoch
        return iter([(epoch, index) for index in own])


class EpochBatches(Sampler[list[Key]]):
    """Yields the batches of a training epoch, all of them full.

    A run that goes on with another batch size, inside an epoch, may end that epoch with a smaller batch, so that each of its
    samples is served.

    Args:
        sampler: The order of the samples.
        batch_size: Samples a batch.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size

    @property
    def num_left(self) -> int:
        """Number of batches of the epoch that the sampler starts in."""
        if not self.sampler.start_sample:
            return len(self)
        left = (self.sampler.num_samples - self.sampler.start_sample) // self.sampler.world_size
        # with the batch size of before, what is left out is what any epoch leaves out
        is_unchanged = left % self.batch_size == len(self.sampler) % self.batch_size
        num = left // self.batch_size if is_unchanged else -(-left // self.batch_size)
        return min(num, len(self))

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch, also when resuming inside one; one if samples are few."""
        num = len(self.sampler) // self.batch_size
        return num or min(1, len(self.sampler))

    def __iter__(self) -> Iterator[list[Key]]:
        keys = list(self.sampler)
        num = self.num_left if self.sampler.epoch == self.sampler.start_epoch else len(self)
        for start in range(0, num * self.batch_size, self.batch_size):
            yield keys[start : start + self.batch_size]


class RowSampler(Sampler[Key]):
    """Yields (0, index) for the given rows, in their order.

    Args:
        rows: Positions in the split.
    """

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Key]:
        return iter([(0, int(row)) for row in self.rows])
