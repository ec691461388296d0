"""Encode the radiologists' descriptors as privileged columns, one row per abnormality."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.cbis_ddsm.tables import DESCRIPTOR_COLUMNS, VOCABULARY, Abnormality
from data_modules.split import Table

Preset = Literal["descriptors", "descriptors_density", "all_no_birads", "all_with_birads", "nuisance"]

# The documented vocabulary rather than the values in a file: the test set has combinations and atoms that the
# training set lacks, and the columns must not depend on the subset that was read.
ATOMS: dict[str, tuple[str, ...]] = {
    "shape": (
        "IRREGULAR",
        "OVAL",
        "LOBULATED",
        "ROUND",
        "ARCHITECTURAL_DISTORTION",
        "LYMPH_NODE",
        "ASYMMETRIC_BREAST_TISSUE",
        "FOCAL_ASYMMETRIC_DENSITY",
    ),
    "margins": ("CIRCUMSCRIBED", "SPICULATED", "ILL_DEFINED", "OBSCURED", "MICROLOBULATED"),
    "calc_type": (
        "PLEOMORPHIC",
        "AMORPHOUS",
        "PUNCTATE",
        "LUCENT_CENTER",
        "VASCULAR",
        "FINE_LINEAR_BRANCHING",
        "COARSE",
        "ROUND_AND_REGULAR",
        "EGGSHELL",
        "DYSTROPHIC",
        "LARGE_RODLIKE",
        "SKIN",
        "MILK_OF_CALCIUM",
    ),
    "distribution": ("CLUSTERED", "SEGMENTAL", "REGIONAL", "LINEAR", "DIFFUSELY_SCATTERED"),
    "side": VOCABULARY["side"],
    "view": VOCABULARY["view"],
    # without 0, incomplete, which is no verdict
    "assessment": ("1", "2", "3", "4", "5"),
}
# the distributed files spell it in two ways
SYNONYMS = {"LUCENT_CENTERED": "LUCENT_CENTER"}


@dataclass(frozen=True)
class Columns:
    """Columns of a preset.

    Attributes:
        categorical: Columns that become multi-hot atoms.
        numeric: Columns that stay numbers.
    """

    categorical: tuple[str, ...]
    numeric: tuple[str, ...]


def preset_columns(preset: Preset, abnormality: Abnormality) -> Columns:
    """Return the columns of a preset.

    `descriptors` are shape and margins of masses, type and distribution of calcifications. `all_no_birads` adds the
    other observations of a radiologist that are no verdict. `all_with_birads` adds the BI-RADS assessment, the radiologist's
    own estimate of malignancy: an upper bound, not a description. It is encoded as categories, since "incomplete" has no place
    in their order. `nuisance` holds columns that say nothing about the lesion: a negative control.

    Args:
        preset: Name of the preset.
        abnormality: Kind of abnormality; `both` has the descriptors of both kinds.

    Returns:
        The columns, named as in `read_tables`.
    """
    kinds = [kind for kind in DESCRIPTOR_COLUMNS if abnormality in (kind, "both")]
    descriptors = tuple(name for kind in kinds for name in DESCRIPTOR_COLUMNS[kind].values())
    presets: dict[Preset, Columns] = {
        "descriptors": Columns(descriptors, ()),
        "descriptors_density": Columns(descriptors, ("density",)),
        "all_no_birads": Columns((*descriptors, "side", "view"), ("density", "subtlety")),
        "all_with_birads": Columns((*descriptors, "side", "view", "assessment"), ("density", "subtlety")),
        "nuisance": Columns(("side", "view"), ("density", "abnormality_id")),
    }
    if preset not in presets:
        raise ValueError(f"Expected `columns` to be one of {list(presets)} but got '{preset}'.")
    return presets[preset]


def encode(frame: pd.DataFrame, columns: Columns, missing_indicator: bool = False) -> Table:
    """Encode descriptors, one row per abnormality.

    A value such as `ROUND_AND_REGULAR-LUCENT_CENTERED` names several atoms in any order, possibly repeated, and is read as
    a set. There is no column for "missing" by default, because it leaks the label: all 439 calcifications without a
    distribution are benign.

    Args:
        frame: Rows as from `read_tables`.
        columns: Columns to encode.
        missing_indicator: Whether each categorical column gets an atom `missing`.

    Returns:
        The table; standardising numbers is left to the encoder.

    Raises:
        ValueError: If a value holds an atom outside the documented vocabulary.
    """
    blocks = [_multi_hot(frame[name], name) for name in columns.categorical]
    names = tuple(f"{name}={atom}" for name in columns.categorical for atom in ATOMS[name])
    if missing_indicator:
        blocks += [frame[[name]].isna().to_numpy(dtype=np.float32) for name in columns.categorical]
        names += tuple(f"{name}=missing" for name in columns.categorical)
    numeric = frame[list(columns.numeric)].to_numpy(dtype=np.float32)
    categorical = np.concatenate([np.zeros((len(frame), 0), np.float32), *blocks], axis=1)
    return Table(numeric, categorical, columns.numeric, names)


def _multi_hot(column: "pd.Series[str]", name: str) -> NDArray[np.float32]:
    position = {atom: index for index, atom in enumerate(ATOMS[name])}
    encoded = np.zeros((len(column), len(position)), dtype=np.float32)
    for row, value in enumerate(column):
        for atom in _atoms(value):
            if atom not in position:
                raise ValueError(
                    f"Expected the atoms of '{name}' to be among {list(position)} but '{value}' holds '{atom}'. "
                    "Correct the description file."
                )
            encoded[row, position[atom]] = 1
    return encoded


def _atoms(value: str | float | None) -> set[str]:
    if isinstance(value, float) and not np.isnan(value):
        return {f"{value:g}"}
    if not isinstance(value, str):
        return set()
    return {SYNONYMS.get(atom, atom) for atom in value.split("-")}
