"""Encoder of text and table."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from data_modules.batch import Privileged
from data_modules.split import Split
from mmpkd.numerics.device_values import tensor_on
from mmpkd.teachers.encoders.base import PrivilegedEncoder, check_sizes, describe, encoder_from


class FusionEncoder(PrivilegedEncoder):
    """Late fusion: concatenates the features of a text encoder and a table encoder and applies a layer on top.

    A missing part of a sample (an empty text, or a row without values) is replaced by a learned vector. In training, one part of
    samples with both is sometimes dropped, so that the teacher also works with the other part alone.

    Args:
        text: Encoder of the text.
        table: Encoder of the table.
        width: Width D of the fused features.
        dropout: Dropout before the fusion layer.
        part_dropout: Probability in [0, 1) of dropping one part of a sample with both parts in training.

    Raises:
        ValueError: If `width`, `dropout` or `part_dropout` is out of range.
    """

    def __init__(
        self,
        text: PrivilegedEncoder,
        table: PrivilegedEncoder,
        width: int = 64,
        dropout: float = 0.1,
        part_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_sizes(width, dropout)
        if not 0 <= part_dropout < 1:
            raise ValueError(f"Expected part_dropout in [0, 1) but got {part_dropout}.")
        self.settings = {
            "text": describe(text),
            "table": describe(table),
            "width": width,
            "dropout": dropout,
            "part_dropout": part_dropout,
        }
        self.text = text
        self.table = table
        self.width = width
        self.dropout = dropout
        self.part_dropout = part_dropout

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an encoder with the given settings."""
        return cls(**{**settings, **{part: encoder_from(settings[part]) for part in ("text", "table")}})

    @property
    def num_features(self) -> int:
        """Width D of the fused features."""
        return self.width

    def depth_of(self, name: str) -> int:
        """Return the depth within the text encoder; all other parameters are at the top."""
        if name.startswith("text."):
            return self.text.depth_of(name.removeprefix("text."))
        return max(self.text.depth_of(key) for key, _ in self.text.named_parameters())

    def learn(self, train: Split) -> dict[str, Any]:
        """Return vocabulary and statistics of both parts from the training split."""
        return {"text": self.text.learn(train), "table": self.table.learn(train)}

    @property
    def reads(self) -> tuple[str, ...]:
        """Input of both parts."""
        return (*self.text.reads, *self.table.reads)

    def check(self, split: Split) -> None:
        """Check that the split has the input of both parts."""
        self.text.check(split)
        self.table.check(split)

    def build(self, inputs: dict[str, Any]) -> None:
        """Create the layers."""
        self.inputs = inputs
        parts = {"text": self.text, "table": self.table}
        for name, part in parts.items():
            part.build(inputs[name])
        widths = [part.num_features for part in parts.values()]
        self.norms = nn.ModuleDict({name: nn.LayerNorm(part.num_features) for name, part in parts.items()})
        self.missing = nn.ParameterDict(
            {name: nn.Parameter(0.02 * torch.randn(part.num_features)) for name, part in parts.items()}
        )
        self.fuse = nn.Sequential(nn.Dropout(self.dropout), nn.Linear(sum(widths), self.width), nn.GELU())

    def load_pretrained(self) -> None:
        """Load the pretrained weights of both parts."""
        self.text.load_pretrained()
        self.table.load_pretrained()

    def forward(self, privileged: Privileged) -> Tensor:
        """Encode texts and rows of B samples to features (B, D)."""
        missing = sorted({"report", "numeric", "categorical"} - set(privileged))
        if missing:
            raise ValueError(f"Expected text and a table for a teacher on both but the data lack {missing}.")
        features = {"text": self.text(privileged), "table": self.table(privileged)}  # (B, D_text) and (B, D_table)
        present = self._present(privileged)
        parts = [
            torch.where(present[name][:, None], self.norms[name](value), self.missing[name])
            for name, value in features.items()
        ]
        fused: Tensor = self.fuse(torch.cat(parts, dim=1))
        return fused

    def _present(self, privileged: Privileged) -> dict[str, Tensor]:
        """Return which samples have text and which have a table, bool (B,) each, after random dropping in training."""
        numeric = privileged["numeric"]
        categorical = privileged["categorical"]
        table = (~numeric.isnan()).any(dim=1) | (categorical != 0).any(dim=1)  # (B,)
        text = tensor_on(table.device, [bool(report.strip()) for report in privileged["report"]])
        if self.training and self.part_dropout:
            drop = torch.rand(len(text), device=text.device) < self.part_dropout
            # at most one part is dropped: a sample never loses both
            first = torch.rand(len(text), device=text.device) < 0.5
            both = text & table & drop
            text = text & ~(both & first)
            table = table & ~(both & ~first)
        return {"text": text, "table": table}
