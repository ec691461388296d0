"""Group abnormalities into samples: one per image, or one per abnormality."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.cbis_ddsm.descriptors import Columns, encode
from data_modules.cbis_ddsm.files import STATUSES, USABLE, ImageTree, MaskStatus
from data_modules.images.mask_regions import MaskRegion
from data_modules.images.regions import Roi
from data_modules.split import Split, Table

Unit = Literal["image", "abnormality"]
MissingImages = Literal["error", "drop"]
RoiAbnormalities = Literal["all", "malignant"]


@dataclass(frozen=True)
class Samples:
    """Samples of one split as groups of abnormalities.

    Attributes:
        frame: One row per abnormality, as from `read_tables`.
        group: Int64, one per row: the sample that the abnormality belongs to.
        sample_id: Identifier of each sample.
    """

    frame: pd.DataFrame
    group: NDArray[np.int64]
    sample_id: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.sample_id)

    @property
    def first(self) -> NDArray[np.int64]:
        """Position of the first abnormality of each sample."""
        return np.unique(self.group, return_index=True)[1]

    @property
    def malignant(self) -> NDArray[np.bool_]:
        """Whether each abnormality is malignant."""
        return (self.frame["pathology"] == "MALIGNANT").to_numpy(dtype=np.bool_)

    def take(self, keep: NDArray[np.bool_]) -> "Samples":
        """Return the samples where `keep` is true."""
        rows = keep[self.group]
        # new positions of the samples that are kept
        number = np.cumsum(keep) - 1
        return Samples(self.frame[rows].reset_index(drop=True), number[self.group[rows]], self.sample_id[keep])


def group_samples(frame: pd.DataFrame, unit: Unit) -> Samples:
    """Group abnormalities into samples, in the order in which they first occur.

    Args:
        frame: Rows as from `read_tables`.
        unit: `image`: one sample per patient, side and view; mass and calcification rows of the same image are
            one sample. `abnormality`: one sample per row.
    """
    names = frame["patient_id"] + "_" + frame["side"] + "_" + frame["view"]
    if unit == "abnormality":
        names = names + "_" + frame["kind"] + "_" + frame["abnormality_id"].astype(str)
    group, ids = pd.factorize(names)
    return Samples(frame.reset_index(drop=True), group.astype(np.int64), np.asarray(ids, dtype=np.str_))


def pool_label(samples: Samples, without_callback: bool = False) -> NDArray[np.float32]:
    """Return the labels of samples.

    Args:
        samples: The samples.
        without_callback: Whether a second label marks samples without callback.

    Returns:
        Float32 (N, 1), 1 if any abnormality is malignant; or (N, 2), where the second is 1 if every abnormality is
        BENIGN_WITHOUT_CALLBACK, the mildest of the three. A sample with neither has a biopsied benign lesion at worst.
    """
    label = np.zeros((len(samples), 2), dtype=np.float32)
    # a maximum over each group is "any", a minimum "all"
    np.maximum.at(label[:, 0], samples.group, samples.malignant.astype(np.float32))
    label[:, 1] = 1
    mildest = samples.frame["pathology"] == "BENIGN_WITHOUT_CALLBACK"
    np.minimum.at(label[:, 1], samples.group, mildest.to_numpy(dtype=np.float32))
    return label if without_callback else label[:, :1]


def pool_strata(samples: Samples) -> dict[str, NDArray[np.str_]]:
    """Return the strata: side, view, density, kind of lesion, and subtlety of the most conspicuous lesion."""
    first = samples.frame.iloc[samples.first]
    kinds = samples.frame.groupby(samples.group)["kind"].agg(lambda values: "+".join(sorted(set(values))))
    subtlety = samples.frame.groupby(samples.group)["subtlety"].max()
    return {
        "side": first["side"].to_numpy(dtype=np.str_),
        "view": first["view"].to_numpy(dtype=np.str_),
        "density": _rating_names(first["density"]),
        "subtlety": _rating_names(subtlety),
        "kind": kinds.to_numpy(dtype=np.str_),
    }


def _rating_names(ratings: "pd.Series[float]") -> NDArray[np.str_]:
    return np.array(["" if np.isnan(value) else f"{value:g}" for value in ratings], dtype=np.str_)


def pool_table(samples: Samples, columns: Columns, missing_indicator: bool = False) -> Table:
    """Pool the descriptors of the abnormalities of each sample.

    Each column becomes its largest known value: the union of the atoms of multi-hot columns, the most conspicuous lesion for
    subtlety, the gravest verdict for BI-RADS, and the number of abnormalities for their numbers. Density belongs to the
    breast and is the same in every row.
    """
    table = encode(samples.frame, columns, missing_indicator)
    numeric = np.full((len(samples), len(table.numeric_names)), np.nan, dtype=np.float32)
    # fmax ignores NaN, so a value is missing only if it is missing for every abnormality
    np.fmax.at(numeric, samples.group, table.numeric)
    categorical = np.zeros((len(samples), len(table.categorical_names)), dtype=np.float32)
    np.maximum.at(categorical, samples.group, table.categorical)
    return Table(numeric, categorical, table.numeric_names, table.categorical_names)


def build_split(
    samples: Samples, table: Table, label: NDArray[np.float32], images: list[Path], counts: dict[str, int]
) -> Split:
    """Build a split without regions.

    Args:
        samples: Its samples.
        table: Their privileged columns.
        label: Float32 (N, K).
        images: One file per sample.
        counts: Numbers of what was dropped so far; those of what is kept are added.
    """
    per_sample = np.bincount(samples.group, minlength=len(samples))
    malignant = np.bincount(samples.group, weights=samples.malignant, minlength=len(samples))
    return Split(
        sample_id=samples.sample_id,
        patient_id=samples.frame["patient_id"].to_numpy(dtype=np.str_)[samples.first],
        image=images,
        label=label,
        has_privileged=table.has_value,
        table=table,
        counts=counts
        | {
            "abnormalities": len(samples.frame),
            "with_several_abnormalities": int((per_sample > 1).sum()),
            "malignant_and_benign": int(((malignant > 0) & (malignant < per_sample)).sum()),
        },
        strata=pool_strata(samples),
    )


def locate_images(samples: Samples, tree: ImageTree, missing: MissingImages) -> tuple[Samples, list[Path], int]:
    """Find the full image of every sample.

    Returns:
        The samples that have one, their files, and how many samples were dropped.

    Raises:
        FileNotFoundError: If one is missing and `missing` is `error`.
    """
    folders: list[list[str]] = [[] for _ in range(len(samples))]
    for group, folder in zip(samples.group, samples.frame["image_folder"], strict=True):
        folders[group].append(folder)
    found = tree.images(folders)
    absent = [names[0] for names, path in zip(folders, found, strict=True) if path is None]
    if absent and missing == "error":
        raise FileNotFoundError(
            f"Expected the full image of {len(samples)} samples below '{tree.root}' but {len(absent)} have none, for "
            f"example '{absent[0]}'. Download them, or set data.missing_images to 'drop' to go on without."
        )
    keep = np.array([path is not None for path in found], dtype=np.bool_)
    return samples.take(keep), [path for path in found if path is not None], len(absent)


def locate_rois(
    samples: Samples, images: list[Path], tree: ImageTree, abnormalities: RoiAbnormalities
) -> tuple[dict[int, tuple[Roi, ...]], NDArray[np.str_], dict[str, int]]:
    """Find the regions of every sample: the union of the masks of its abnormalities.

    A sample with an unusable mask has no region at all, since a heatmap on the missing part would count as wrong.

    Args:
        samples: The samples.
        images: Their full images.
        tree: The delivered files.
        abnormalities: Abnormalities whose masks make up the region: all, or only the malignant ones.

    Returns:
        The regions by position; the status of each sample, which is that of its worst mask and empty without any; and the
        number of masks by status.
    """
    rows = np.flatnonzero(samples.malignant | (abnormalities == "all"))
    folders = samples.frame["roi_folder"].iloc[rows].tolist()
    masks = tree.masks(folders, [images[group] for group in samples.group[rows]])
    counts = {f"mask_{status}": 0 for status in STATUSES}
    paths: dict[int, list[Path]] = {}
    incomplete: set[int] = set()
    worst: dict[int, MaskStatus] = {}
    for group, mask in zip(samples.group[rows].tolist(), masks, strict=True):
        counts[f"mask_{mask.status}"] += 1
        # STATUSES goes from best to worst
        worst[group] = max(worst.get(group, STATUSES[0]), mask.status, key=STATUSES.index)
        if mask.status in USABLE and mask.path is not None:
            paths.setdefault(group, []).append(mask.path)
        else:
            incomplete.add(group)
    rois: dict[int, tuple[Roi, ...]] = {}
    for group, own in paths.items():
        if group not in incomplete:
            rois[group] = (Roi(0, tuple(map(MaskRegion, own))),)
    status = np.array([worst.get(group, "") for group in range(len(samples))], dtype=np.str_)
    return rois, status, counts | {"without_usable_roi": len(incomplete)}
