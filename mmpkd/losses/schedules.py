"""Values that change over training, as pure functions of its progress."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """A value as a function of progress; nothing is kept between steps, so that a resumed run has the same values.

    Attributes:
        start: Value after the warm-up.
        end: Value at the end of training.
        shape: `linear`, or `cosine` (slow at both ends), between start and end.
        warmup: Share of training, in [0, 1), in which the value rises linearly from 0 to `start`.
    """

    start: float
    end: float
    shape: Literal["linear", "cosine"] = "linear"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(f"Expected a schedule with warmup in [0, 1) but got {self.warmup}.")

    def __str__(self) -> str:
        """Return what is said of it in a message: one number if it never changes."""
        warmup = f" after a warm-up of {self.warmup}" if self.warmup else ""
        return str(self.start) if self.is_constant else f"{self.start} to {self.end} ({self.shape}){warmup}"

    @property
    def largest(self) -> float:
        """The largest value that is taken."""
        return max(self.start, self.end)

    @property
    def smallest(self) -> float:
        """The smallest value that is taken."""
        return min(self.start, self.end, 0.0) if self.warmup else min(self.start, self.end)

    @property
    def is_constant(self) -> bool:
        """Whether the value never changes."""
        return self.start == self.end and not self.warmup

    def __call__(self, progress: float) -> float:
        """Return the value at a progress in [0, 1]; values outside count as the nearest end."""
        progress = min(max(progress, 0.0), 1.0)
        if progress < self.warmup:
            return self.start * progress / self.warmup
        moved = (progress - self.warmup) / (1 - self.warmup)
        if self.shape == "cosine":
            moved = (1 - math.cos(math.pi * moved)) / 2
        return self.start + (self.end - self.start) * moved


def constant(value: float | Schedule) -> Schedule:
    """Return a number as a schedule that does not change."""
    return value if isinstance(value, Schedule) else Schedule(value, value)
