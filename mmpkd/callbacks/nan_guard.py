"""Stop before a loss that is not finite reaches the weights."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer


class NonFiniteLossError(RuntimeError):
    """The gradients are NaN or infinite."""


class NaNGuard(Callback):
    """Raises before the optimizer step if a gradient is not finite, so that weights and checkpoints stay good.

    On a GPU the check waits for the device, so it is made every `every_n_steps`; on a CPU it is made in each step.

    Args:
        every_n_steps: Steps between checks on an accelerator.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        self.every_n_steps = every_n_steps

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Check the gradients.

        Raises:
            NonFiniteLossError: If one is not finite. Training stops; the last checkpoint is good.
        """
        if trainer.precision == "16-mixed":
            return  # the gradient scaler skips such steps by design
        if pl_module.device.type != "cpu" and trainer.global_step % self.every_n_steps:
            return
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise NonFiniteLossError(
                f"Expected finite gradients but got a norm of {norm.item()} in step {trainer.global_step}. The weights are "
                f"those of the step before. Lower the learning rate, or clip gradients (--trainer.gradient_clip_val=1)."
            )
