"""Labels of MIMIC-CXR: 1 for present, 0 for absent, -1 for uncertain, blank if not mentioned."""

import zlib
from collections.abc import Mapping, Sequence
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
NO_FINDING = "No Finding"
# the radiologist's table and CheXlocalize use the second name
RENAMED = {"Airspace Opacity": "Lung Opacity"}
Uncertainty = Literal["ones", "zeros", "ignore", "smoothed"]
Blank = Literal["zeros", "ignore"]
# range of the draws for uncertain labels (Pham et al. 2019, section 3.2)
SMOOTHED = (0.55, 0.85)


def read_labels(
    path: Path, findings: Sequence[str], uncertainty: Uncertainty | Mapping[str, Uncertainty], blank: Blank
) -> pd.DataFrame:
    """Read the labels of studies.

    Args:
        path: CheXpert, NegBio or radiologist's table: one row a study.
        findings: Columns to read.
        uncertainty: Policy for -1, for all findings or by finding; findings that are not named are ignored.
        blank: Policy for findings that are not mentioned. About four of five cells are blank: as zeros, they mostly
            stand for absence of evidence; ignored, they leave few negatives.

    Returns:
        Float32 columns by finding, indexed by study_id: 1, 0 or NaN, and values between under `smoothed`.

    Raises:
        ValueError: If a finding is unknown, a study has two rows, or a cell holds another value.
    """
    check_names(findings, FINDINGS, "findings")
    policies = resolve_policies(findings, uncertainty)
    frame = read_table(path, ["study_id", *findings], renamed=RENAMED)
    repeated = int(frame["study_id"].duplicated().sum())
    if repeated:
        raise ValueError(
            f"Expected one row per study in '{path}' but {repeated} studies have several. Restore the file."
        )
    frame = frame.set_index("study_id")
    # over all findings of the table, not only those that are read
    stated = frame[[name for name in FINDINGS if name in frame]].notna().any(axis=1).to_numpy(dtype=np.bool_)
    study = frame.index.to_numpy(dtype=np.int64)
    columns = {}
    for name in findings:
        values = binary_column(frame[name], f"column '{name}' of '{path.name}'", (0.0, 1.0, -1.0))
        if name == NO_FINDING:
            columns[name] = no_finding(values, stated)
        else:
            columns[name] = apply_policy(values, policies[name], blank, study, name)
    return pd.DataFrame(columns, index=frame.index)


def resolve_policies(
    findings: Sequence[str], uncertainty: Uncertainty | Mapping[str, Uncertainty]
) -> dict[str, Uncertainty]:
    """Return the policy of each finding.

    Raises:
        ValueError: If a policy is given for a finding that is not among the labels.
    """
    if isinstance(uncertainty, str):
        return dict.fromkeys(findings, uncertainty)
    check_names(uncertainty, list(findings), "findings with an uncertainty policy")
    return {name: uncertainty.get(name, "ignore") for name in findings}


def apply_policy(
    values: NDArray[np.float32], uncertainty: Uncertainty, blank: Blank, study: NDArray[np.int64], name: str
) -> NDArray[np.float32]:
    """Replace -1 and blanks (NaN), each by its own rule.

    `ones`, `zeros` and `ignore` are U-Ones, U-Zeros and U-Ignore of Irvin et al. 2019 (https://arxiv.org/abs/1901.07031).
    `smoothed` is U-Ones with label smoothing of Pham et al. 2019 (https://arxiv.org/abs/1911.06475): a draw from
    U(0.55, 0.85), the same for a study and finding in every run.

    Args:
        values: Float32 (N,) of 1, 0, -1 and NaN.
        uncertainty: Policy for -1.
        blank: Policy for NaN.
        study: Int64 (N,) study identifiers, for the draw.
        name: Finding, for the draw.

    Returns:
        Float32 (N,) of 1, 0, NaN, and values between under `smoothed`.
    """
    replaced = np.where(np.isnan(values), np.float32(np.nan if blank == "ignore" else 0), values)
    if uncertainty == "smoothed":
        low, high = SMOOTHED
        uncertain = low + (high - low) * _uniform(study, name)
    else:
        uncertain = np.full(len(values), {"ones": 1.0, "zeros": 0.0, "ignore": np.nan}[uncertainty])
    return np.where(values == -1, uncertain, replaced).astype(np.float32)


def no_finding(values: NDArray[np.float32], stated: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the label "No Finding", which is 1 or blank in the tables.

    Args:
        values: Float32 (N,) of 1 and NaN.
        stated: Bool (N,), whether the study has any label.

    Returns:
        Float32 (N,): 1, 0 where another label is stated instead, NaN where the study has no label at all.
    """
    return np.where(values == 1, np.float32(1), np.where(stated, np.float32(0), np.float32(np.nan))).astype(np.float32)


def _uniform(study: NDArray[np.int64], name: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) that depends on the study and the finding alone (splitmix64)."""
    # the hash relies on overflow: its arithmetic is modulo 2^64
    with np.errstate(over="ignore"):
        z = study.astype(np.uint64) + np.uint64(zlib.crc32(name.encode())) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((z ^ (z >> np.uint64(31))) >> np.uint64(11), dtype=np.float64) / 2**53
