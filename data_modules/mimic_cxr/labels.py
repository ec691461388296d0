"""Labels of MIMIC-CXR: 1 mentioned as present, 0 as absent, -1 uncertain, blank not mentioned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import binary_column, check_names
from data_modules.mimic_cxr.files import read_table

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
Uncertainty = Literal["ones", "zeros", "ignore"]
Blank = Literal["zeros", "ignore"]


def read_labels(path: Path, findings: Sequence[str], uncertainty: Uncertainty, blank: Blank) -> pd.DataFrame:
    """Read the labels of studies.

    Args:
        path: CheXpert, NegBio or radiologist's table: one row a study.
        findings: Columns to read.
        uncertainty: What -1 becomes (U-Ones, U-Zeros, U-Ignore of Irvin et al. 2019, https://arxiv.org/abs/1901.07031).
        blank: What a finding that is not mentioned becomes. About four cells of five are blank: as zeros they are
            mostly absence of evidence; ignored, they leave few negatives.

    Returns:
        Float32 columns (1, 0 or NaN) by finding, indexed by study_id.

    Raises:
        ValueError: If a finding is unknown, or a cell holds another value.
    """
    check_names(findings, FINDINGS, "findings")
    frame = read_table(path, ["study_id", *findings]).drop_duplicates("study_id").set_index("study_id")
    return pd.DataFrame(
        {
            name: apply_policy(binary_column(frame[name], name, (0.0, 1.0, -1.0)), uncertainty, blank)
            for name in findings
        },
        index=frame.index,
    )


def apply_policy(values: NDArray[np.float32], uncertainty: Uncertainty, blank: Blank) -> NDArray[np.float32]:
    """Replace -1 and blanks (NaN), each by its own rule.

    Args:
        values: Float32 of 1, 0, -1 and NaN.
        uncertainty: What -1 becomes.
        blank: What NaN becomes.

    Returns:
        Float32 of 1, 0 and NaN, in the same shape.
    """
    replacement = {"ones": 1.0, "zeros": 0.0, "ignore": np.nan}
    result = np.where(np.isnan(values), np.float32(replacement[blank]), values)
    return np.where(values == -1, np.float32(replacement[uncertainty]), result).astype(np.float32)
