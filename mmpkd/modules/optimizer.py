"""Settings of the optimizer, and the learning rate schedule."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW with linear warm-up and cosine decay, with defaults for students.

    Attributes:
        lr: Peak learning rate, > 0.
        weight_decay: Weight decay, >= 0. Biases, norms and the parameters that the model exempts have none (timm's groups).
        betas: Betas of AdamW, each in [0, 1).
        warmup_fraction: Fraction of all steps, in [0, 1), during which the learning rate rises linearly.
        layer_decay: Factor in (0, 1] by which the learning rate shrinks with each layer towards the input, or None.

    Raises:
        ValueError: If a number is out of range.
    """

    lr: float = 1e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_fraction: float = 0.1
    layer_decay: float | None = None

    def __post_init__(self) -> None:
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ValueError(f"Expected a learning rate above 0 but got {self.lr}. Set model.optimizer.lr.")
        if not self.weight_decay >= 0:
            raise ValueError(
                f"Expected a weight decay of 0 or more but got {self.weight_decay}. Set model.optimizer.weight_decay."
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"Expected betas in [0, 1) but got {self.betas}. Set model.optimizer.betas.")
        if not 0 <= self.warmup_fraction < 1:
            raise ValueError(f"Expected a warm-up fraction in [0, 1) but got {self.warmup_fraction}.")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f"Expected a layer decay in (0, 1] but got {self.layer_decay}.")


@dataclass(frozen=True)
class TeacherOptimizerSettings(OptimizerSettings):
    """The same settings with defaults for teachers."""

    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)


class WarmupCosine:
    """Learning rate multiplier: linear warm-up to 1, then cosine decay to 0.

    Args:
        total_steps: Number of optimizer steps of the whole training.
        warmup_fraction: Fraction of these steps with a rising learning rate.
    """

    def __init__(self, total_steps: int, warmup_fraction: float) -> None:
        self.total_steps = total_steps
        self.warmup_steps = max(1, int(total_steps * warmup_fraction))

    def __call__(self, step: int) -> float:
        """Return the multiplier for a step, counted from 0."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps  # not 0 at the first step
        progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
