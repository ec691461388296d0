"""Stateless samplers: the order is a function of (seed, epoch), shards are never padded."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, DistributedSampler, Sampler

Key = tuple[int, int]


class EpochSampler(DistributedSampler[Key]):
    """Yields (epoch, index) in an order that depends on the seed and the epoch only.

    Resuming inside an epoch needs no generator state: the order is recomputed and the samples already seen are
    skipped. They are counted over all processes, so that training can resume with another number of processes.

    It is a `DistributedSampler` because it already serves the share of one process. Lightning would otherwise wrap it in a
    sampler that takes a share of that share, unless the trainer has `use_distributed_sampler=False`.

    Args:
        num_samples: Size of the split.
        seed: Seed of the order.
        shuffle: Whether the order is random; otherwise it is 0, 1, 2, ...
        start_epoch: Epoch to begin with.
        start_sample: Number of samples of that epoch, over all processes, that were already seen.
        rank: Rank of this process.
        world_size: Number of processes. For a shuffled (training) order all ranks get the same number of samples by
            leaving out at most world_size - 1; otherwise every sample is served exactly once and ranks may differ by
            one.
        batch_size: Samples per batch. A shuffled order has only whole batches, or a single smaller one if the split is smaller
            than a batch. An epoch that is resumed with another batch size may end with a smaller batch, so that every sample
            is served.
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
        batch_size: int = 1,
    ) -> None:
        # `DistributedSampler` only uses the length of its data set
        super().__init__(cast("Dataset[Any]", range(num_samples)), world_size, rank, shuffle, seed)
        self.num_samples = num_samples
        self.world_size = world_size
        self.epoch = start_epoch
        self.start_epoch = start_epoch
        self.start_sample = start_sample
        self.batch_size = batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of samples of a whole epoch on this rank, also when resuming inside one."""
        if self.shuffle:
            return self._whole_batches(self.num_samples // self.world_size)
        return len(range(self.rank, self.num_samples, self.world_size))

    @property
    def num_left(self) -> int:
        """Number of samples of the first epoch that are still to be served on this rank, in a shuffled order."""
        if not self.start_sample:
            return len(self)
        share = self.num_samples // self.world_size
        left = (self.num_samples - self.start_sample) // self.world_size
        if left % self.batch_size == share % self.batch_size:
            left = self._whole_batches(left)  # leave out the same samples as an epoch without interruption
        return min(left, len(self))

    def _whole_batches(self, num: int) -> int:
        return num // self.batch_size * self.batch_size or num

    def __iter__(self) -> Iterator[Key]:
        # an array, which a process that is forked later shares, unlike a list of numbers
        order = np.arange(self.num_samples)
        if self.shuffle:
            # a prime factor, so that (seed, epoch) and (seed + 1, epoch - 1) give different orders
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.num_samples, generator=generator).numpy()
        is_first = self.epoch == self.start_epoch
        # skip what all ranks have seen, then take every world_size-th sample
        own = order[self.start_sample if is_first else 0 :][self.rank :: self.world_size]
        if self.shuffle:
            own = own[: self.num_left if is_first else len(self)]
        epoch = self.epoch
        return ((epoch, int(index)) for index in own)


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
