"""Join the tables of MIMIC-CXR-JPG, the reports and MS-CXR into splits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.mimic_cxr.files import find_table, read_table
from data_modules.mimic_cxr.labels import Blank, Uncertainty, read_labels
from data_modules.mimic_cxr.ms_cxr import check_frames, read_boxes, rois_of_images
from data_modules.mimic_cxr.reports import TextMode, read_reports
from data_modules.mimic_cxr.views import FRONTAL, frontal_view
from data_modules.regions import Roi
from data_modules.split import Split

Labeler = Literal["chexpert", "negbio"]
TestLabels = Literal["automatic", "radiologist"]
RoiSplit = Literal["official", "all"]
SPLITS = {"train": "train", "validate": "val", "test": "test"}


@dataclass(frozen=True)
class MIMICCXRReader:
    """Reads frontal images, their labels, reports and boxes.

    Attributes:
        root: Folder of MIMIC-CXR-JPG.
        reports_root: Folder of the reports.
        roi_root: Folder of MS-CXR.
        label_names: Findings.
        text: Section that the teacher reads.
        labeler: Table of automatic labels.
        uncertainty: What -1 becomes.
        blank: What a blank becomes.
        test_labels: Labels of the test split: automatic, or the radiologist's of release 2.1.0.
        roi_split: `official` scores the boxes of the official validation and test images; `all` moves every patient
            with a box to the test split.
    """

    root: Path
    reports_root: Path
    roi_root: Path
    label_names: tuple[str, ...]
    text: TextMode
    labeler: Labeler
    uncertainty: Uncertainty
    blank: Blank
    test_labels: TestLabels
    roi_split: RoiSplit

    def read(self) -> Mapping[str, Split]:
        """Return the splits `train`, `val` and `test`."""
        everyone = self._official_split()
        images = self._images(everyone)
        boxes = read_boxes(self.roi_root)
        rois: Mapping[str, tuple[Roi, ...]] = {}
        boxed = np.zeros(len(images), dtype=np.bool_)
        if boxes is not None:
            check_frames(boxes, images)
            rois = rois_of_images(boxes, self.label_names)
            # also patients whose box is in an image that is not used, for example a lateral one
            patients = everyone.loc[everyone["dicom_id"].isin(boxes["dicom_id"]), "subject_id"].unique()
            boxed = images["subject_id"].isin(patients).to_numpy(dtype=np.bool_)
        if self.roi_split == "all":
            images.loc[boxed, "split"] = "test"
        held_out = boxed & (images["split"] == "train").to_numpy()
        images = images[~held_out].reset_index(drop=True)
        texts = read_reports(self.reports_root, images["subject_id"].tolist(), images["study_id"].tolist(), self.text)
        if not texts:
            raise FileNotFoundError(
                f"Expected reports of {images['study_id'].nunique()} studies in '{self.reports_root}' but none has a section "
                f"'{self.text}'. Set data.reports_root to the folder that holds files/."
            )
        splits = {}
        for official, name in SPLITS.items():
            rows = images[images["split"] == official].reset_index(drop=True)
            splits[name] = self._split(rows, texts, {} if name == "train" else rois)
        extra = {
            "held_out_roi_images": int(held_out.sum()),
            "unknown_or_lateral_views": int(images.attrs["other_views"]),
        }
        splits["train"] = replace(splits["train"], counts={**splits["train"].counts, **extra})
        return splits

    def _official_split(self) -> pd.DataFrame:
        columns = ["dicom_id", "subject_id", "study_id", "split"]
        return read_table(find_table(self.root, "mimic-cxr-*-split.csv"), columns)[columns]

    def _images(self, split: pd.DataFrame) -> pd.DataFrame:
        metadata = read_table(
            find_table(self.root, "mimic-cxr-*-metadata.csv"), ["dicom_id", "ViewPosition", "Rows", "Columns"]
        )
        unknown = sorted(set(split["split"]) - set(SPLITS))
        if unknown:
            raise ValueError(f"Expected the splits {list(SPLITS)} but found {unknown}.")
        metadata = metadata.drop(columns=["subject_id", "study_id"], errors="ignore")
        images = split.merge(metadata, on="dicom_id", how="inner", validate="one_to_one")
        frontal = np.isin(frontal_view(images).astype(str), FRONTAL)
        kept = images[frontal].reset_index(drop=True)
        kept.attrs["other_views"] = int((~frontal).sum())
        return kept

    def _labels(self, rows: pd.DataFrame) -> NDArray[np.float32]:
        """Return labels (N, K); studies that a labeler could not label are NaN."""
        labels = self._table(f"mimic-cxr-*-{self.labeler}.csv", rows)
        if self.test_labels == "radiologist":
            manual = self._table("mimic-cxr-*-test-set-labeled.csv", rows)
            # a study that was not read by hand is not stated, rather than labelled by another source
            tested = (rows["split"] == "test").to_numpy()
            labels[tested] = manual[tested]
        return labels

    def _table(self, pattern: str, rows: pd.DataFrame) -> NDArray[np.float32]:
        labels = read_labels(find_table(self.root, pattern), self.label_names, self.uncertainty, self.blank)
        return labels.reindex(rows["study_id"]).to_numpy(dtype=np.float32, copy=True)

    def _split(self, rows: pd.DataFrame, texts: Mapping[int, str], rois: Mapping[str, tuple[Roi, ...]]) -> Split:
        subject, study, image = (rows[name].astype(str) for name in ("subject_id", "study_id", "dicom_id"))
        folders = "p" + subject.str[:2] + "/p" + subject + "/s" + study
        report = [texts.get(int(number), "") for number in rows["study_id"]]
        return Split(
            sample_id=image.to_numpy(dtype=np.str_),
            patient_id=subject.to_numpy(dtype=np.str_),
            image=[self.root / "files" / f / f"{i}.jpg" for f, i in zip(folders, image, strict=True)],
            label=self._labels(rows),
            has_privileged=np.array([bool(text) for text in report], dtype=np.bool_),
            report=report,
            rois={row: rois[name] for row, name in enumerate(image) if name in rois},
            counts={"without_text": sum(not text for text in report)},
        )
