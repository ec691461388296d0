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
    skipped.

    It is a `DistributedSampler`, since it serves the share of one process: Lightning would take a share of that share otherwise,
    unless the trainer is made with `use_distributed_sampler=False`.

    Args:
        num_samples: Size of the split.
        seed: Seed of the order.
        shuffle: Whether the order is random; otherwise it is 0, 1, 2, ...
        start_epoch: Epoch to begin with.
        start_sample: Samples of that epoch, on this rank, that were already seen.
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
        # of the data set, only the size is used
        super().__init__(cast("Dataset[Any]", range(num_samples)), world_size, rank, shuffle, seed)
        self.num_samples, self.world_size = num_samples, world_size
        self.epoch, self.start_epoch, self.start_sample = start_epoch, start_epoch, start_sample

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
        own = order[self.rank :: self.world_size][: len(self)]
        skip = self.start_sample if self.epoch == self.start_epoch else 0
        epoch = self.epoch
        return iter([(epoch, index) for index in own[skip:]])


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
