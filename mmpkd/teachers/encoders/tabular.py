"""Encoders of tabular privileged input: numeric and multi-hot columns."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_modules.batch import Privileged
from data_modules.split import Split
from mmpkd.numerics.precision import Float32Buffers
from mmpkd.teachers.encoders.base import PrivilegedEncoder, check_sizes


class TableEncoder(Float32Buffers, PrivilegedEncoder):
    """Base class of table encoders: checks column names and standardises numbers with training statistics.

    A missing number becomes the training mean, without an indicator. A missing category is all zeros in its multi-hot columns,
    which the encoder can see. This can leak a label: in CBIS-DDSM, for example, cases without a calcification distribution are
    never malignant. The teacher card tests for it.
    """

    mean: Tensor
    std: Tensor

    def learn(self, train: Split) -> dict[str, Any]:
        """Return column names, and mean and standard deviation of numeric columns over samples with a table."""
        table = train.table
        if table is None:
            raise ValueError("Expected tabular columns in the training split but it has none. Check the data module.")
        rows = table.numeric[train.has_privileged]
        if np.isinf(rows).any():
            raise ValueError("Expected numbers, or NaN where one is missing, but some columns hold infinite values.")
        is_known = ~np.isnan(rows)
        num_known = np.maximum(is_known.sum(axis=0), 1)
        mean = np.where(is_known, rows, 0).sum(axis=0) / num_known
        std = np.sqrt(np.where(is_known, (rows - mean) ** 2, 0).sum(axis=0) / num_known)
        return {
            "numeric_names": list(table.numeric_names),
            "categorical_names": list(table.categorical_names),
            "mean": mean.astype(float).tolist(),
            # a constant column is only centred
            "std": np.where(std > 0, std, 1.0).astype(float).tolist(),
        }

    def build(self, inputs: dict[str, Any]) -> None:
        """Create the layers."""
        self.inputs = inputs
        self.register_buffer("mean", torch.tensor(inputs["mean"], dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(inputs["std"], dtype=torch.float32), persistent=False)
        self.build_layers(len(inputs["numeric_names"]), len(inputs["categorical_names"]))

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the columns."""
        inputs = self.inputs or {"numeric_names": (), "categorical_names": ()}
        return (*inputs["numeric_names"], *inputs["categorical_names"])

    def check(self, split: Split) -> None:
        """Check that the split has the columns that the encoder was trained on, in the same order.

        Raises:
            ValueError: If names or order differ.
        """
        names = () if split.table is None else (*split.table.numeric_names, *split.table.categorical_names)
        if names != self.reads:
            raise ValueError(
                f"Expected the columns that the teacher was trained on, {list(self.reads)}, in this order, but the data have "
                f"{list(names)}. Use the data settings of the teacher's run."
            )

    @abstractmethod
    def build_layers(self, numeric: int, categorical: int) -> None:
        """Create the layers for the given numbers of numeric and multi-hot columns."""

    @abstractmethod
    def encode(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Encode standardised numbers (B, F), 0 where missing, and multi-hot columns (B, M) to features (B, D)."""

    def forward(self, privileged: Privileged) -> Tensor:
        """Encode numeric (B, F) and multi-hot (B, M) columns to features (B, D).

        Raises:
            ValueError: If the numbers were rounded to half precision.
        """
        given = privileged["numeric"]
        if given.dtype in (torch.bfloat16, torch.float16) and given.shape[1]:
            found = str(given.dtype).removeprefix("torch.")
            raise ValueError(
                f"Expected numbers of a table in float32 but got {found}, in which 2019 may be 2016 and 70,000 infinite. Set "
                "trainer.precision to 32-true or bf16-mixed."
            )
        numeric = ((given - self.mean) / self.std).nan_to_num(0.0)  # (B, F), 0 is the training mean
        dtype = next(self.parameters()).dtype  # statistics are float32, weights may be in half precision
        return self.encode(numeric.to(dtype), privileged["categorical"].to(dtype))


class TabularEncoder(TableEncoder):
    """A multi-layer perceptron on standardised numeric and multi-hot columns.

    Args:
        width: Width of the layers and of the features.
        depth: Number of hidden layers, >= 1.
        dropout: Dropout after the first layer.

    Raises:
        ValueError: If there is no hidden layer, or a size is out of range.
    """

    def __init__(self, width: int = 64, depth: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        check_sizes(width, dropout, depth)
        self.settings = {"width": width, "depth": depth, "dropout": dropout}
        self.width = width
        self.depth = depth
        self.dropout = dropout

    @property
    def num_features(self) -> int:
        """Width D of the features."""
        return self.width

    def build_layers(self, numeric: int, categorical: int) -> None:
        """Create the layers."""
        layers: list[nn.Module] = [
            nn.Linear(numeric + categorical, self.width),
            nn.LayerNorm(self.width),
            nn.GELU(),
            nn.Dropout(self.dropout),
        ]
        for _ in range(self.depth - 1):
            layers += [nn.Linear(self.width, self.width), nn.GELU()]
        self.layers = nn.Sequential(*layers)

    def encode(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return features (B, D)."""
        features: Tensor = self.layers(torch.cat([numeric, categorical], dim=1))
        return features


class FTTransformerEncoder(TableEncoder):
    """An FT-Transformer with one token per column, from its authors' package.

    Each multi-hot column is a categorical feature with two values.

    Source: Gorishniy et al. 2021, https://arxiv.org/abs/2106.11959, section 3.3.

    Args:
        width: Width of the tokens and of the features, a multiple of `num_heads`.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        dropout: Dropout of attention and feed-forward layers.

    Raises:
        ValueError: If `width` is not a multiple of `num_heads`, or a size is out of range.
    """

    def __init__(self, width: int = 64, depth: int = 2, num_heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        check_sizes(width, dropout, depth, num_heads)
        self.settings = {"width": width, "depth": depth, "num_heads": num_heads, "dropout": dropout}
        self.width = width
        self.depth = depth
        self.num_heads = num_heads
        self.dropout = dropout

    @property
    def num_features(self) -> int:
        """Width D of the features."""
        return self.width

    def build_layers(self, numeric: int, categorical: int) -> None:
        """Create the transformer."""
        from rtdl_revisiting_models import FTTransformer

        self.has_numbers = numeric > 0
        self.has_categories = categorical > 0
        self.transformer = FTTransformer(
            n_cont_features=numeric,
            cat_cardinalities=[2] * categorical,
            d_out=self.width,
            n_blocks=self.depth,
            d_block=self.width,
            attention_n_heads=self.num_heads,
            attention_dropout=self.dropout,
            ffn_d_hidden_multiplier=4 / 3,
            ffn_dropout=self.dropout,
            residual_dropout=0.0,
        )

    def encode(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return features (B, D), the output of the class token."""
        features: Tensor = self.transformer(
            numeric if self.has_numbers else None, categorical.long() if self.has_categories else None
        )
        return features
