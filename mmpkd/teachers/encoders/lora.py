"""Low-rank adaptation of a frozen encoder."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class LoRA:
    """Train low-rank updates of frozen weight matrices (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Attributes:
        rank: Rank of the updates.
        alpha: The updates are scaled by alpha / rank.
        dropout: Dropout on the input of the updates.
        target_modules: Names of the layers to adapt, or None for peft's default for the architecture.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: list[str] | None = None

    def apply(self, encoder: nn.Module) -> nn.Module:
        """Return the encoder with low-rank updates, and everything else frozen.

        Raises:
            ImportError: If peft is not installed.
        """
        # an optional dependency
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise ImportError(
                "Expected peft for encoder.lora but it is not installed: pip install 'mmpkd[lora]'."
            ) from error
        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=self.target_modules
        )
        adapted: nn.Module = get_peft_model(encoder, config)
        return adapted
