"""Hyper-parameters that change during training, as pure functions of its progress."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """A value as a function of training progress. It has no state, so a resumed run continues with the same values.

    Attributes:
        start: Value after the warm-up.
        end: Value at the end of training.
        shape: How the value moves from `start` to `end`: `linear`, or `cosine`, which is slow at both ends.
        warmup: Fraction of training, in [0, 1), during which the value rises linearly from 0 to `start`.

    Example:
        >>> schedule = Schedule(start=4.0, end=1.0, warmup=0.5)
        >>> [schedule(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [0.0, 2.0, 4.0, 2.5, 1.0]
    """

    start: float
    end: float
    shape: Literal["linear", "cosine"] = "linear"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(f"Expected a schedule with warmup in [0, 1) but got {self.warmup}.")

    def __str__(self) -> str:
        """Return a short description for messages: a single number if the value never changes."""
        warmup = f" after a warm-up of {self.warmup}" if self.warmup else ""
        return str(self.start) if self.is_constant else f"{self.start} to {self.end} ({self.shape}){warmup}"

    @property
    def largest(self) -> float:
        """Largest value during training."""
        return max(self.start, self.end)

    @property
    def smallest(self) -> float:
        """Smallest value during training."""
        return min(self.start, self.end, 0.0) if self.warmup else min(self.start, self.end)

    @property
    def is_constant(self) -> bool:
        """Whether the value never changes."""
        return self.start == self.end and not self.warmup

    def __call__(self, progress: float) -> float:
        """Return the value at a progress, which is clipped to [0, 1]."""
        progress = min(max(progress, 0.0), 1.0)
        if progress < self.warmup:
            return self.start * progress / self.warmup
        moved = (progress - self.warmup) / (1 - self.warmup)
        if self.shape == "cosine":
            moved = (1 - math.cos(math.pi * moved)) / 2
        return self.start + (self.end - self.start) * moved


def constant(value: float | Schedule) -> Schedule:
    """Return a number as a schedule that never changes, and a schedule as it is.

    Example:
        >>> constant(0.5)(progress=0.9)
        0.5
    """
    return value if isinstance(value, Schedule) else Schedule(value, value)
