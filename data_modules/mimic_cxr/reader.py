"""Join the tables of MIMIC-CXR-JPG, the reports and the regions into splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import identifiers
from data_modules.files.folders import find_base
from data_modules.frames import frames_by_image
from data_modules.images.geometry import Size
from data_modules.images.regions import Roi
from data_modules.mimic_cxr.collections import Collections, find_collections, say_foreign
from data_modules.mimic_cxr.files import find_table, read_table
from data_modules.mimic_cxr.imagenome import read_imagenome_silver
from data_modules.mimic_cxr.labels import Blank, Uncertainty, read_labels, resolve_policies
from data_modules.mimic_cxr.reports import Reports, TextMode, read_reports
from data_modules.mimic_cxr.rois import Annotations, RoiOptions, RoiSource
from data_modules.mimic_cxr.views import FRONTAL, resolve_views
from data_modules.split import Split

Labeler = Literal["chexpert", "negbio"]
TestLabels = Literal["automatic", "radiologist"]
ImageFormat = Literal["jpg", "dicom"]
SPLITS = {"train": "train", "validate": "val", "test": "test"}
SUFFIX: dict[ImageFormat, str] = {"jpg": ".jpg", "dicom": ".dcm"}
# counts of the whole data set: Johnson et al. 2019, and the notebook that accompanies it
PUBLISHED = {
    "train": {"images": 368_960, "frontal": 248_020, "patients": 64_586},
    "val": {"images": 2_991, "frontal": 2_041, "patients": 500},
    "test": {"images": 5_159, "frontal": 3_653, "patients": 293},
}


@dataclass(frozen=True)
class MIMICCXRReader:
    """Reads frontal images, their labels, reports and regions. See `MIMICCXRDataModule` for the fields."""

    root: Path
    tables_root: Path
    reports_root: Path
    image_format: ImageFormat
    label_names: tuple[str, ...]
    text: TextMode
    labeler: Labeler
    uncertainty: Uncertainty | Mapping[str, Uncertainty]
    blank: Blank
    test_labels: TestLabels
    rois: RoiOptions
    show_published: bool = True

    def read(self) -> Mapping[str, Split]:
        """Return the splits `train`, `val` and `test`."""
        self._collections.say()
        everyone = self._everyone()
        say_foreign(self._annotations, everyone["dicom_id"])
        # a patient annotated on a lateral image is held out as well, so identify patients before dropping other views
        images = everyone[everyone["view"].isin(FRONTAL)].reset_index(drop=True)
        patients = everyone.loc[everyone["dicom_id"].isin(self._held_out), "subject_id"].unique()
        owned = images["subject_id"].isin(patients).to_numpy(dtype=np.bool_)
        if self.rois.split == "all":
            images.loc[owned, "split"] = "test"
        held_out = owned & (images["split"] == "train").to_numpy()
        num_held_out = int(images.loc[held_out, "subject_id"].nunique())
        images = images[~held_out].reset_index(drop=True)
        images["file"] = self._files(images)
        rois, roi_counts = self._rois(everyone, images)
        reports = read_reports(self.reports_root, images["subject_id"].tolist(), images["study_id"].tolist(), self.text)
        if not reports.text:
            raise FileNotFoundError(
                f"Expected reports of {images['study_id'].nunique()} studies in '{self.reports_root}' but none has text for "
                f"the mode '{self.text}'. Set data.reports_root to the folder that holds files/ or the archive."
            )
        splits = {
            name: self._split(name, images[images["split"] == official], reports, {} if name == "train" else rois)
            for official, name in SPLITS.items()
        }
        annotated = {f"annotated_images: {name}": len(own.annotated) for name, own in self._annotations.items()}
        held_out_counts = {"held_out_roi_images": int(held_out.sum()), "held_out_roi_patients": num_held_out}
        splits["train"] = _count(splits["train"], held_out_counts | _of_all_splits({**annotated, **reports.counts}))
        splits["test"] = _count(splits["test"], _of_all_splits(roi_counts))
        return {name: _count(split, self._official_counts(everyone, name)) for name, split in splits.items()}

    def _everyone(self) -> pd.DataFrame:
        """Return one row per image of the data set: identifiers, official split, view, rows and columns."""
        columns = ["dicom_id", "subject_id", "study_id", "split"]
        path = find_table(self.tables_root, "mimic-cxr-*-split.csv")
        split = read_table(path, columns)[columns]
        metadata = read_table(
            find_table(self.tables_root, "mimic-cxr-*-metadata.csv"), ["dicom_id", "ViewPosition", "Rows", "Columns"]
        )
        for frame in (split, metadata):
            frame["dicom_id"] = identifiers(frame["dicom_id"], f"column 'dicom_id' of the tables beside '{path}'")
            repeated = int(frame["dicom_id"].duplicated().sum())
            if repeated:
                raise ValueError(
                    f"Expected one row per image in the tables beside '{path}' but {repeated} are repeated."
                )
        unknown = sorted(set(split["split"]) - set(SPLITS))
        if unknown:
            raise ValueError(f"Expected the splits {list(SPLITS)} in '{path}' but found {unknown}.")
        metadata["view"] = resolve_views(metadata)
        return split.merge(metadata[["dicom_id", "view", "Rows", "Columns"]], on="dicom_id", how="inner")

    def _official_counts(self, everyone: pd.DataFrame, name: str) -> dict[str, int]:
        """Return the counts of the official split on this machine, next to the published ones."""
        rows = everyone[everyone["split"].map(SPLITS) == name]
        frontal = rows["view"].isin(FRONTAL)
        unknown = rows["view"] == ""
        found = {"images": len(rows), "frontal": int(frontal.sum()), "patients": int(rows["subject_id"].nunique())}
        counts = {}
        for what, number in found.items():
            counts[f"official_{what}"] = number
            if self.show_published:
                counts[f"official_{what}_published"] = PUBLISHED[name][what]
        return counts | {"lateral_or_other_view": int((~frontal & ~unknown).sum()), "unknown_view": int(unknown.sum())}

    @cached_property
    def _collections(self) -> Collections:
        return find_collections(self.rois.root or self.root, must_exist=self.rois.root is not None)

    @cached_property
    def _annotations(self) -> Mapping[RoiSource, Annotations]:
        """All collections that were found, except the automatic one."""
        return self._collections.read(self.label_names, self.rois.min_certainty)

    @property
    def _held_out(self) -> frozenset[str]:
        """Annotated images of all collections, so that the training split does not depend on which one is scored."""
        return frozenset().union(*(annotations.annotated for annotations in self._annotations.values()))

    def _rois(
        self, everyone: pd.DataFrame, images: pd.DataFrame
    ) -> tuple[Mapping[str, tuple[Roi, ...]], dict[str, int]]:
        """Return the ROIs of the chosen collection by image, each in the frame of the original image."""
        evaluated = images.loc[images["split"] != "train", "dicom_id"].tolist()
        chosen = self._chosen(evaluated)
        if chosen is None:
            return {}, {}
        rows = everyone[everyone["dicom_id"].isin({*chosen.rois, *chosen.frames})]
        frames = frames_by_image(rows["dicom_id"], rows["Rows"], rows["Columns"], "rows of the metadata table")
        _check_frames(chosen.frames, frames)
        rois: dict[str, tuple[Roi, ...]] = {}
        for name, own in chosen.rois.items():
            if name in frames:
                rois[name] = tuple(replace(roi, frame=frames[name]) for roi in own)
        counts = {f"roi_{name}": number for name, number in chosen.counts.items()}
        outside = [name for name in self.label_names if name not in chosen.labels]
        return rois, counts | {f"roi_not_annotated: {name}": len(evaluated) for name in outside}

    def _chosen(self, evaluated: Sequence[str]) -> Annotations | None:
        """Return the collection that is scored; the automatic one is read only for the evaluated images."""
        places = self._collections.places
        # MS-CXR is the default, so its absence is no error: one can train without any collection, but not localize
        if self.rois.source == "none" or (self.rois.source == "ms_cxr" and not places):
            return None
        if self.rois.source not in places:
            found = ", ".join(places) or "no collection"
            raise FileNotFoundError(
                f"Expected the regions of '{self.rois.source}' in '{self._collections.root}' but found {found}. "
                "Set data.rois.root or data.rois.source."
            )
        if self.rois.source == "imagenome_silver":
            return read_imagenome_silver(places["imagenome_silver"][-1], self.label_names, evaluated)
        return self._annotations[self.rois.source]

    def _files(self, rows: pd.DataFrame) -> list[str]:
        """Return the image files, below `root` or a folder of a mirror in it."""
        subject, study, image = (rows[column].astype(str) for column in ("subject_id", "study_id", "dicom_id"))
        files = "files/p" + subject.str[:2] + "/p" + subject + "/s" + study + "/" + image + SUFFIX[self.image_format]
        base = find_base(self.root, files.tolist()) or self.root
        return [str(base / file) for file in files]

    def _labels(self, name: str, rows: pd.DataFrame) -> NDArray[np.float32]:
        """Return labels (N, K); studies that a labeler could not label are NaN."""
        if name == "test" and self.test_labels == "radiologist":
            # a study that the radiologist did not read has no label, rather than one from another source
            return self._table("mimic-cxr-*-test-set-labeled.csv", name, rows)
        return self._table(f"mimic-cxr-*-{self.labeler}.csv", name, rows)

    def _table(self, pattern: str, name: str, rows: pd.DataFrame) -> NDArray[np.float32]:
        policies = resolve_policies(self.label_names, self.uncertainty)
        if name != "train":
            # `smoothed` draws soft targets, but scores need labels of 0 or 1
            policies = {label: "ignore" if policy == "smoothed" else policy for label, policy in policies.items()}
        labels = read_labels(find_table(self.tables_root, pattern), self.label_names, policies, self.blank)
        # a study without a row gets NaN
        return labels.reindex(rows["study_id"]).to_numpy(dtype=np.float32, copy=True)

    def _split(self, name: str, rows: pd.DataFrame, reports: Reports, rois: Mapping[str, tuple[Roi, ...]]) -> Split:
        subject, image = (rows[column].astype(str) for column in ("subject_id", "dicom_id"))
        report = [reports.text.get(number, "") for number in rows["study_id"].tolist()]
        return Split(
            sample_id=image.to_numpy(dtype=np.str_),
            patient_id=subject.to_numpy(dtype=np.str_),
            image=[Path(file) for file in rows["file"]],
            label=self._labels(name, rows),
            has_privileged=np.array([bool(text) for text in report], dtype=np.bool_),
            report=report,
            rois={row: rois[name] for row, name in enumerate(image) if name in rois},
            counts={"without_text": sum(not text for text in report)},
            strata={"view": rows["view"].to_numpy(dtype=np.str_)},
        )


def _of_all_splits(counts: Mapping[str, int]) -> dict[str, int]:
    """Name counts of the whole data set as such; they stand in the column of one split."""
    return {f"{name} (all splits)": number for name, number in counts.items()}


def _count(split: Split, counts: Mapping[str, int]) -> Split:
    return replace(split, counts={**split.counts, **counts})


def _check_frames(stated: Mapping[str, Size], frames: Mapping[str, Size]) -> None:
    """Check that regions refer to images of the size in the metadata.

    Raises:
        ValueError: If sizes differ, as in resized copies of the data set, where regions would be misplaced.
    """
    wrong = sum(frames[name] != size for name, size in stated.items() if name in frames)
    if wrong:
        raise ValueError(
            f"Expected regions in the frame of the original images but those of {wrong} of {len(stated)} images refer to "
            f"another size. Use the tables and images of MIMIC-CXR-JPG, not a resized copy."
        )
