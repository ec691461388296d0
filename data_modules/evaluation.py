"""Data sets that are only used to evaluate students trained elsewhere."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from data_modules.base import License, PrivilegedDataModule
from data_modules.columns import identifiers, texts
from data_modules.images.geometry import Size
from data_modules.images.preparation import Preprocess
from data_modules.images.regions import Region, join_regions
from data_modules.split import Split

logger = logging.getLogger("mmpkd")
MissingImages = Literal["error", "drop"]


@dataclass(frozen=True)
class Annotated:
    """Annotations of N images of an evaluation set, in the vocabulary of the student's labels.

    Attributes:
        sample_id: N unique identifiers.
        patient_id: N patients; the image itself where a set does not identify them.
        files: N image files.
        names: M findings in the published vocabulary of the set, whether or not they occur in these images.
        labels: Float32 (N, M): 1, 0 or NaN.
        regions: Image, finding and region, in any order.
        frames: (height, width) of annotated images, where the set states it.
        squeezed: Whether the image files show the annotated images in other proportions.
        counts: Numbers of what was left out, by reason.
        strata: N values of each stratum by which results can be broken down.
        unknown_names: Names in the files that are not in the published vocabulary; they count for no label.
    """

    sample_id: Sequence[str]
    patient_id: Sequence[str]
    files: Sequence[Path]
    names: tuple[str, ...]
    labels: NDArray[np.float32]
    regions: Iterable[tuple[str, str, Region]] = ()
    frames: Mapping[str, Size] = field(default_factory=dict)
    squeezed: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    strata: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unknown_names: Sequence[str] = ()


class EvaluationReader(ABC):
    """Reads one data set for evaluation.

    A subclass documents access, citation and traps, and sets `license`, `roi_area` and, where images have several regions,
    `roi_union_area`.
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.1
    roi_union_area: ClassVar[float | None] = None

    @abstractmethod
    def read(self) -> Annotated:
        """Read tables and annotations; images are not opened."""

    def preprocess(self) -> Preprocess | None:
        """Return the step that an image goes through before it is resized; none by default."""
        return None


class EvaluationDataModule(PrivilegedDataModule):
    """A data set for evaluating a student that was trained on another one: `mmpkd test --data FILE --ckpt_path CHECKPOINT`.

    It has a test split only. A finding outside the published vocabulary of the data set has no label (NaN) and is left out of
    all scores: the log names it, and `mmpkd check-data` counts it as `not_annotated`. A finding inside the vocabulary that is
    not stated for an image is absent (0), or unknown (NaN) if something that is stated may imply it.

    Args:
        reader: The data set, for example `data_modules.chest_sets.VinDrCXR`.
        label_names: Labels of the student, in the order in which it was trained.
        missing_images: Whether a missing image file is an error, or its sample is dropped and counted.
        options: Arguments of `PrivilegedDataModule`; set `mean` and `std` to those of the training data.
    """

    source_settings: ClassVar[str] = "data.reader"
    only_tests: ClassVar[bool] = True

    def __init__(
        self,
        reader: EvaluationReader,
        label_names: tuple[str, ...],
        missing_images: MissingImages = "error",
        **options: Any,
    ) -> None:
        # no options here, since nothing is trained and nothing is privileged
        super().__init__(label_names, load_privileged=False, augmentation=None, max_train_samples=None, **options)
        self.reader = reader
        self.missing_images = missing_images
        self.license = reader.license  # type: ignore[misc]  # that of the data set
        self.roi_area = reader.roi_area
        self.roi_union_area = reader.roi_union_area

    def preprocess(self) -> Preprocess | None:
        """Return the step that images of the data set go through before they are resized."""
        return self.reader.preprocess()

    def read_splits(self) -> Mapping[str, Split]:
        """Return the split `test`.

        Raises:
            FileNotFoundError: If a table or annotation is missing, or an image and `missing_images` is `error`.
            ValueError: If the set annotates none of the labels, or none of its regions is on an image that has labels.
        """
        found = self.reader.read()
        names = _identifiers(found.sample_id, "samples")
        patients = _identifiers(found.patient_id, "patients")
        exists = np.array([path.is_file() for path in found.files], dtype=np.bool_)
        if not exists.all() and self.missing_images == "error":
            example = found.files[int(np.flatnonzero(~exists)[0])]
            raise FileNotFoundError(
                f"Expected the images of all {len(exists)} samples but {int((~exists).sum())} are missing, for example "
                f"'{example}'. Restore them, or set data.missing_images to 'drop'."
            )
        kept = np.flatnonzero(exists)
        label = project_labels(found.labels, found.names, self.label_names)  # (N, K)
        outside = [name for name in self.label_names if name not in found.names]
        _say_vocabulary(type(self.reader).__name__, self.label_names, found.names, found.unknown_names)
        regions = list(found.regions)
        elsewhere = _images_elsewhere(regions, names)
        rois = join_regions(regions, self.label_names, found.frames, found.squeezed)
        split = Split(
            sample_id=names,
            patient_id=patients,
            image=found.files,
            label=label,
            has_privileged=np.zeros(len(names), dtype=np.bool_),
            rois={row: rois[name] for row, name in enumerate(names.tolist()) if name in rois},
            counts={
                **found.counts,
                **{f"not_annotated: {name}": len(kept) for name in outside},
                "unknown_names": len(found.unknown_names),
                "images_with_regions_elsewhere": elsewhere,
                "dropped_missing_images": int((~exists).sum()),
            },
            strata={name: texts(pd.Series(values, dtype=object)) for name, values in found.strata.items()},
        )
        return {"test": split.take(kept)}


@rank_zero_only
def _say_vocabulary(
    data_set: str, label_names: Sequence[str], annotated: Sequence[str], unknown: Sequence[str]
) -> None:
    """Log once which labels a data set annotates, which it does not, and which of its names are unknown."""
    inside = ", ".join(name for name in label_names if name in annotated)
    outside = ", ".join(name for name in label_names if name not in annotated)
    missing = f"; it does not annotate {outside}: no label and no score" if outside else ""
    logger.info("%s annotates %s: absent where it does not state them%s.", data_set, inside, missing)
    if unknown:
        logger.warning(
            "Expected the published names of findings in %s but found %d others, which count for no label: %s.",
            data_set,
            len(unknown),
            ", ".join(unknown),
        )


def _images_elsewhere(regions: Sequence[tuple[str, str, Region]], names: NDArray[np.str_]) -> int:
    """Return how many images have regions but are none of the samples.

    Raises:
        ValueError: If no region is on a sample, since annotations and labels then name images differently.
    """
    annotated = {image for image, _, _ in regions}
    elsewhere = annotated.difference(names.tolist())
    if elsewhere and elsewhere == annotated:
        raise ValueError(
            f"Expected regions on the images that have labels but those of all {len(elsewhere)} images are on others, for "
            f"example '{min(elsewhere)}' instead of '{names[0] if len(names) else ''}'. Use tables of one release."
        )
    return len(elsewhere)


def _identifiers(values: Sequence[str], what: str) -> NDArray[np.str_]:
    return identifiers(pd.Series(list(values), index=pd.RangeIndex(len(values), name="sample"), dtype=object), what)


def project_labels(
    labels: NDArray[np.float32], names: Sequence[str], label_names: Sequence[str]
) -> NDArray[np.float32]:
    """Rearrange the labels of one data set in the order of another.

    Args:
        labels: Float32 (N, M): 1, 0 or NaN.
        names: M names, in the vocabulary of the student's labels.
        label_names: The student's K labels.

    Returns:
        Float32 (N, K), NaN in columns that the data set does not annotate.

    Raises:
        ValueError: If the data sets share no label, so that nothing could be evaluated.
    """
    if not set(names) & set(label_names):
        raise ValueError(
            f"Expected data.label_names to share a finding with this data set but it annotates {sorted(names)} and got "
            f"{list(label_names)}."
        )
    projected = np.full((len(labels), len(label_names)), np.nan, dtype=np.float32)
    for column, name in enumerate(label_names):
        if name in names:
            projected[:, column] = labels[:, list(names).index(name)]
    return projected
