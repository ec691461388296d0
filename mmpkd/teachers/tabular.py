"""Encoder of tabular privileged input: numeric and multi-hot columns."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_modules.batch import Privileged
from data_modules.split import Split
from mmpkd.teachers.base import PrivilegedEncoder


class TabularEncoder(PrivilegedEncoder):
    """A multi-layer perceptron on standardised numeric and multi-hot columns.

    A missing numeric value becomes the training mean. There is no missing-value indicator, because it can give the
    label
    away: in CBIS-DDSM, a missing calcification distribution is never malignant.

    Args:
        width: Width of the layers, and of the features.
        depth: Hidden layers, >= 1.
        dropout: Dropout after the first layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 64, depth: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"Expected at least one hidden layer but got depth {depth}.")
        self.settings = {"width": width, "depth": depth, "dropout": dropout}
        self.width, self.depth, self.dropout = width, depth, dropout

    @property
    def num_features(self) -> int:
        """Width D of the features."""
        return self.width

    def learn(self, train: Split) -> dict[str, Any]:
        """Take column names and the mean and standard deviation of numeric columns from samples that have a table."""
        table = train.table
        if table is None:
            raise ValueError("Expected tabular columns in the training split but it has none. Check the data module.")
        rows = table.numeric[train.has_privileged]
        stated = np.isfinite(rows)
        count = np.maximum(stated.sum(axis=0), 1)
        mean = np.where(stated, rows, 0).sum(axis=0) / count
        std = np.sqrt(np.where(stated, (rows - mean) ** 2, 0).sum(axis=0) / count)
        return {
            "numeric_names": list(table.numeric_names),
            "categorical_names": list(table.categorical_names),
            "mean": mean.astype(float).tolist(),
            "std": np.where(std > 0, std, 1.0).astype(float).tolist(),
        }

    def build(self, inputs: dict[str, Any]) -> None:
        """Create the layers."""
        self.inputs = inputs
        self.register_buffer("mean", torch.tensor(inputs["mean"], dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(inputs["std"], dtype=torch.float32), persistent=False)
        columns = len(inputs["numeric_names"]) + len(inputs["categorical_names"])
        layers: list[nn.Module] = [
            nn.Linear(columns, self.width),
            nn.LayerNorm(self.width),
            nn.GELU(),
            nn.Dropout(self.dropout),
        ]
        for _ in range(self.depth - 1):
            layers += [nn.Linear(self.width, self.width), nn.GELU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, privileged: Privileged) -> Tensor:
        """Encode numeric (B, F) and multi-hot (B, M) columns to features (B, D)."""
        numeric = ((privileged["numeric"] - self.mean) / self.std).nan_to_num(0.0)
        features: Tensor = self.layers(torch.cat([numeric, privileged["categorical"]], dim=1))
        return features
