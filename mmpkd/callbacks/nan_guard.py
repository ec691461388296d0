"""A guard that stops a diverging training before NaN or infinity is saved."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

# a gradient scaler starts at 2^16 and halves its scale in each step that does not fit into float16: 32 such steps in a row
SMALLEST_SCALE = 2.0**-16
ADVICE = "Lower the learning rate, or clip gradients (--trainer.gradient_clip_val=1)."


class NonFiniteLossError(RuntimeError):
    """Gradients, weights or the optimizer state are NaN or infinite."""


class NaNGuard(Callback):
    """Raises an error if a training diverges.

    Gradients are checked before every optimizer step on a CPU, and every `every_n_steps` steps on an accelerator, where a check
    has to wait for the device. With `16-mixed`, non-finite gradients are normal: the scaler skips the step and lowers its scale.
    There, the check is whether it has skipped very many steps in a row.

    Weights, buffers (such as batch norm statistics) and the optimizer state are checked before every checkpoint. Every
    checkpoint on disk is therefore finite, and training can resume from it.

    Args:
        every_n_steps: Number of steps between checks of gradients on an accelerator.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        self.every_n_steps = every_n_steps
        self._never_finite: set[str] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember buffers that are infinite by design, such as the attention masks of some models."""
        del trainer
        self._never_finite = set(not_finite(dict(pl_module.named_buffers())))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Check the gradients, or the scale of the gradient scaler.

        Raises:
            NonFiniteLossError: If a gradient is not finite. All earlier checkpoints are good.
        """
        if pl_module.device.type != "cpu" and (trainer.global_step + 1) % self.every_n_steps:
            return
        if _scale(trainer) is not None:
            self._check_scale(trainer)
            return
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        # one number to wait for: NaN or infinity anywhere shows in the norm
        norm = torch.nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise NonFiniteLossError(
                f"Expected finite gradients but got a norm of {norm.item()} at step {trainer.global_step}. All earlier "
                f"checkpoints are good. {ADVICE}"
            )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check a checkpoint before it is written.

        Raises:
            NonFiniteLossError: If a value is not finite. Nothing is saved, and earlier checkpoints stay.
        """
        del pl_module
        self._check_scale(trainer)
        broken = [name for name in not_finite(dict(_saved(checkpoint))) if name not in self._never_finite]
        if broken:
            raise NonFiniteLossError(
                f"Expected finite weights but got NaN or infinity in {', '.join(broken[:3])}{', ...' if broken[3:] else ''} at "
                f"step {trainer.global_step}. No checkpoint was saved; all earlier ones are good. {ADVICE}"
            )

    def _check_scale(self, trainer: Trainer) -> None:
        scale = _scale(trainer)
        if scale is not None and scale < SMALLEST_SCALE:
            raise NonFiniteLossError(
                f"Expected gradients that fit into float16 but their scaler has skipped so many steps in a row that its scale is "
                f"{scale:.1e} at step {trainer.global_step}. Train with bf16-mixed. {ADVICE}"
            )


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that contain NaN or infinity, with one transfer per device."""
    by_device: dict[torch.device, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if value.is_floating_point():
            by_device.setdefault(value.device, {})[name] = value
    broken: list[str] = []
    for own in by_device.values():
        finite = torch.stack([value.isfinite().all() for value in own.values()]).tolist()
        broken += [name for name, is_finite in zip(own, finite, strict=True) if not is_finite]
    return broken


def _saved(checkpoint: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a checkpoint by name: weights, buffers, and the state of the optimizer."""
    yield from checkpoint["state_dict"].items()
    # with EMA, `state_dict` is the average, and the trained weights are here
    for name, value in checkpoint.get("current_model_state", {}).items():
        yield f"current {name}", value
    for optimizer in checkpoint.get("optimizer_states", ()):
        for parameter, state in optimizer["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    yield f"{name} of parameter {parameter}", value


def _scale(trainer: Trainer) -> float | None:
    """Return the loss scale with `16-mixed`, or None with another precision."""
    scaler: torch.amp.GradScaler | None = getattr(trainer.precision_plugin, "scaler", None)
    return None if scaler is None else scaler.get_scale()
