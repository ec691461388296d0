"""The two localization tables of a run, and the strata by which their results can be broken down.

The table of regions has one row per (image, finding) pair and attribution. The table of unions has one row per image and
attribution, for the union of the image's regions, with `ANY` as the finding. It covers the attributions that are the same for all
findings of an image. Both tables have the same columns.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mmpkd.records.run_folder import RunFolder

PAIR = ("sample_id", "finding")
KEY = (*PAIR, "attribution")
# columns about the pair; columns `stratum/<name>` for the strata of the data set follow
KNOWN = (*KEY, "patient_id", "area", "num_regions", "target", "probability", "recognised", "iou_ceiling")
# columns about the heatmap, besides its scores
DIAGNOSTICS = ("prefix_mass", "constant", "undefined")
STRATUM = "stratum/"
# the finding in the table of unions
ANY = "any"
# the last commit that reads checkpoints and run folders without unions
LAST_COMMIT_WITHOUT_UNIONS = "15853fb"


def is_of_unions(frame: pd.DataFrame) -> bool:
    """Return whether a localization table is one of unions."""
    return bool((frame["finding"] == ANY).all())


def check_unions(folder: RunFolder, stage: str) -> None:
    """Check that a run with a table of regions also has a table of unions.

    Args:
        folder: Folder of the run.
        stage: `val` or `test`.

    Raises:
        ValueError: If the run was made by an older version, which had no such table.
    """
    if folder.rois(stage).is_file() and not folder.unions(stage).is_file():
        raise ValueError(
            f"Expected '{folder.unions(stage)}' beside '{folder.rois(stage).name}' but the run was made by an older "
            f"version, which did not score unions of regions. Train again in another folder (--run.dir), or read this one with "
            f"commit {LAST_COMMIT_WITHOUT_UNIONS}."
        )


def score_columns(frame: pd.DataFrame) -> list[str]:
    """Return the names of the localization scores in a table of regions or unions."""
    return [name for name in frame.columns if name not in (*KNOWN, *DIAGNOSTICS) and not str(name).startswith(STRATUM)]


def stratified(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean scores by stratum.

    Args:
        frame: Table of regions or of unions.

    Returns:
        Columns stratum, value, attribution, num_roi, num_patients, and the scores. The strata are the finding (not for unions),
        thirds of the ROI area, the number of regions, whether the finding was recognised, and those of the data set. Rows with
        an unknown value are left out.
    """
    scores = score_columns(frame)
    parts = []
    for name, value in strata(frame).items():
        keys = ["stratum", "value", "attribution"]
        # observed: otherwise a third without a region would be a row of zeros and NaN
        grouped = frame.assign(stratum=name, value=value).groupby(keys, sort=True, observed=True)
        counts = grouped.agg(num_roi=("sample_id", "size"), num_patients=("patient_id", "nunique"))
        parts.append(counts.join(grouped[scores].mean()).reset_index().astype({"value": str}))
    return pd.concat(parts, ignore_index=True)


def strata(frame: pd.DataFrame) -> "dict[str, pd.Series[Any]]":
    """Return the strata by which results can be broken down.

    Args:
        frame: Table of regions or of unions.

    Returns:
        The value of each row, by name of the stratum; only strata with a known value. Ordered values are categorical.
    """
    groups: dict[str, pd.Series[Any]] = {} if is_of_unions(frame) else {"finding": frame["finding"]}
    groups["area"] = _thirds(frame["area"])
    if "num_regions" in frame:
        groups["num_regions"] = frame["num_regions"].clip(upper=3).map({1: "1", 2: "2", 3: "3 or more"})
    groups["recognised"] = frame["recognised"].map({1.0: "yes", 0.0: "no"})
    groups |= {
        # an empty text stands for an unknown value
        str(name).removeprefix(STRATUM): frame[name].where(frame[name] != "")
        for name in frame.columns
        if str(name).startswith(STRATUM)
    }
    return {name: value for name, value in groups.items() if value.notna().any()}


def _thirds(area: "pd.Series[float]") -> "pd.Series[Any]":
    """Return which third of all ROIs, by area, each ROI belongs to."""
    low, high = np.quantile(area, (1 / 3, 2 / 3))
    order = ["smallest third", "middle third", "largest third"]
    names = np.where(area <= low, order[0], np.where(area <= high, order[1], order[2]))
    return pd.Series(pd.Categorical(names.tolist(), order, ordered=True), index=area.index)


def summary(frame: pd.DataFrame, stage: str) -> dict[str, float]:
    """Return the values to log. A score that is undefined in every row is left out.

    Args:
        frame: Table of regions or of unions.
        stage: `val` or `test`.

    Returns:
        Means over regions as `<stage>/<attribution>/<score>`, or over unions as `<stage>/<attribution>/union/<score>`.
    """
    values: dict[str, float] = {}
    part = "/union" if is_of_unions(frame) else ""
    for name, rows in frame.groupby("attribution"):
        prefix = f"{stage}/{name}{part}"
        means: Mapping[Any, float] = rows[[*score_columns(frame), "prefix_mass"]].mean().dropna().to_dict()
        values.update({f"{prefix}/{score}": float(mean) for score, mean in means.items()})
        values[f"{prefix}/num_roi"] = float(len(rows))
        values[f"{prefix}/num_undefined"] = float(rows["undefined"].sum())
        values[f"{prefix}/num_constant"] = float(rows["constant"].sum())
    return values
