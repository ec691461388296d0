"""Stop when a training diverges, before anything that is not finite is saved."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

# 32 steps in a row that did not fit into float16, counted from the scale that a gradient scaler starts with
SMALLEST_SCALE = 2.0**-16
ADVICE = "Lower the learning rate, or clip gradients (--trainer.gradient_clip_val=1)."


class NonFiniteLossError(RuntimeError):
    """Gradients, weights or the state of the optimizer are NaN or infinite."""


class NaNGuard(Callback):
    """Raises if a training diverges: before the optimizer step where that is cheap, and always before a checkpoint is saved.

    Gradients are checked in each step on a CPU. On another device, where a check waits for it, they are checked every
    `every_n_steps`. Under `16-mixed`, a gradient that is not finite is no error: the scaler skips the step, and lowers its scale;
    what is checked is whether it has skipped very many in a row. Weights, buffers such as the statistics of
    batch norm, and the state of the optimizer are checked before each checkpoint, so that every checkpoint that was
    written is good to go on from.

    Args:
        every_n_steps: Steps between checks of gradients on an accelerator.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        self.every_n_steps = every_n_steps
        self._never_finite: set[str] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which buffers hold infinities by design, as the masks of some attentions do."""
        del trainer
        self._never_finite = set(not_finite(dict(pl_module.named_buffers())))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Check the gradients, or the scale that they are multiplied with.

        Raises:
            NonFiniteLossError: If one is not finite. Training stops; any checkpoint that was saved before is good.
        """
        if pl_module.device.type != "cpu" and (trainer.global_step + 1) % self.every_n_steps:
            return
        if _scale(trainer) is not None:
            self._check_scale(trainer)
            return
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise NonFiniteLossError(
                f"Expected finite gradients but got a norm of {norm.item()} in step {trainer.global_step}. Any "
                f"checkpoint that was saved before is good. {ADVICE}"
            )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check what a checkpoint would hold, before anything is written.

        Raises:
            NonFiniteLossError: If a value is not finite. Nothing is saved; a checkpoint from before stays.
        """
        del pl_module
        self._check_scale(trainer)
        broken = [name for name in not_finite(dict(_saved(checkpoint))) if name not in self._never_finite]
        if broken:
            raise NonFiniteLossError(
                f"Expected finite weights but {', '.join(broken[:3])}{', ...' if broken[3:] else ''} is not, in step "
                f"{trainer.global_step}. No checkpoint was saved; any from before is good. {ADVICE}"
            )

    def _check_scale(self, trainer: Trainer) -> None:
        scale = _scale(trainer)
        if scale is not None and scale < SMALLEST_SCALE:
            raise NonFiniteLossError(
                f"Expected gradients that fit into float16 but their scaler has skipped so many steps in a row that its scale is "
                f"{scale:.1e} in step {trainer.global_step}. Train with bf16-mixed. {ADVICE}"
            )


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors with a value that is NaN or infinite; each device is asked once."""
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
    """Yield the weights and buffers of a checkpoint, those that are trained if it holds an average, and the optimizer's state."""
    yield from checkpoint["state_dict"].items()
    for name, value in checkpoint.get("current_model_state", {}).items():
        yield f"current {name}", value
    for optimizer in checkpoint.get("optimizer_states", ()):
        for parameter, state in optimizer["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    yield f"{name} of parameter {parameter}", value


def _scale(trainer: Trainer) -> float | None:
    """Return what losses are multiplied with under `16-mixed`, or None under another precision."""
    scaler: torch.amp.GradScaler | None = getattr(trainer.precision_plugin, "scaler", None)
    return None if scaler is None else scaler.get_scale()
