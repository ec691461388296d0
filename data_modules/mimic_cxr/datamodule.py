"""The MIMIC-CXR data module."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from data_modules.base import License, PrivilegedDataModule
from data_modules.mimic_cxr.labels import Blank, Uncertainty
from data_modules.mimic_cxr.ms_cxr import MS_CXR_FINDINGS
from data_modules.mimic_cxr.reader import ImageFormat, Labeler, MIMICCXRReader, TestLabels
from data_modules.mimic_cxr.reports import TextMode
from data_modules.mimic_cxr.rois import RoiOptions
from data_modules.split import Split


class MIMICCXRDataModule(PrivilegedDataModule):
    """Frontal chest radiographs with CheXpert labels, reports as privileged text, and regions from several collections.

    Access: credentialed, from PhysioNet: MIMIC-CXR-JPG 2.0.0 or 2.1.0 (images, labels, split), MIMIC-CXR 2.0.0
    (reports, and images as DICOM), and MS-CXR, REFLACX or Chest ImaGenome (regions). None of these data may be
    shared, or sent to an online service.

    Cite: Johnson et al., "MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs",
    https://arxiv.org/abs/1901.07042; Johnson et al., "MIMIC-CXR, a de-identified publicly available database of chest
    radiographs with free-text reports", Scientific Data 6:317, 2019; Boecking et al., "Making the most of text
    semantics to improve biomedical vision-language processing", ECCV 2022, https://arxiv.org/abs/2204.09817 (MS-CXR);
    Bigolin Lanfredi et al., "REFLACX, a dataset of reports and eye-tracking data for localization of abnormalities in
    chest x-rays", Scientific Data 9:350, 2022; Wu et al., "Chest ImaGenome dataset for clinical reasoning", NeurIPS
    Datasets and Benchmarks 2021, https://arxiv.org/abs/2108.00316.

    Read before use:
    (1) The labels are computed from the impression, else from the findings of the same report. A teacher that reads
    `impression` or `full` re-implements the labeler, and its targets are little more than smoothed labels. `findings` leaks
    less (only studies without an impression were labelled from it), `label_masked` still less, and `indication` is known before
    the image is taken.
    (2) Most annotated images are in the official training split, so every patient with a region in any collection that is found
    leaves training. MS-CXR's own split is never used. Labels for which a collection has no name have no regions in it;
    `mmpkd check-data` counts them as `roi_not_annotated`.
    (3) Labels belong to studies: a frontal image may be labelled for something that only the lateral one shows.
    (4) 3,269 test studies come from 293 patients, so intervals must be clustered by patient, as all of ours are.
    (5) The JPEG files are histogram equalised 8 bit copies of the radiographs; do not equalise them again.

    Args:
        root: Folder of the images, with `files/`, or a folder up to six levels above, as in a mirror; so are the other roots.
        tables_root: Folder of the tables of MIMIC-CXR-JPG; `root` by default.
        reports_root: Folder of the reports, as a tree, `mimic-cxr-reports.zip` or `mimic_cxr_sectioned.csv` (or .gz), whose
            sections are then used as they are; `root` by default.
        image_format: `jpg` for MIMIC-CXR-JPG, `dicom` for the images of MIMIC-CXR.
        label_names: Findings; by default the eight for which MS-CXR has boxes.
        text: Part of the report that the teacher reads: `findings`, `impression`, `full` (both), `indication`, or
            `label_masked` (findings without the sentences that name a label). The labels are computed from the impression,
            else from the findings. A study without the section has no privileged input.
        labeler: Table of automatic labels.
        uncertainty: Policy for -1: `ones`, `zeros`, `ignore`, or in training `smoothed`; or a policy by finding, with
            `ignore` for the others.
        blank: Policy for findings that are not mentioned. "No Finding" is never 0 in the tables: a blank becomes 0 where
            another finding is stated.
        test_labels: Labels of the test split: `automatic`, or those of the `radiologist` of release 2.1.0, who read the reports
            of 687 studies; the other studies then have no label.
        rois: Regions that are scored, and who is held out of training for them.
        options: Arguments of `PrivilegedDataModule`, for images and loaders.
    """

    license: ClassVar[License] = "credentialed"
    # the mean over 928 regions of MS-CXR whose patients are in the training split of MIMIC-CXR, .156, rounded: no region of the
    # official test split is in it. An image of MS-CXR has 1.07 findings with a region, so a union is about as large
    roi_area = 0.15

    def __init__(
        self,
        root: Path,
        tables_root: Path | None = None,
        reports_root: Path | None = None,
        image_format: ImageFormat = "jpg",
        label_names: tuple[str, ...] = MS_CXR_FINDINGS,
        text: TextMode = "findings",
        labeler: Labeler = "chexpert",
        uncertainty: Uncertainty | dict[str, Uncertainty] = "ignore",
        blank: Blank = "zeros",
        test_labels: TestLabels = "automatic",
        rois: RoiOptions = RoiOptions(),
        **options: Any,
    ) -> None:
        super().__init__(label_names, **options)
        root = Path(root)
        self.reader = MIMICCXRReader(
            root=root,
            tables_root=Path(tables_root or root),
            reports_root=Path(reports_root or root),
            image_format=image_format,
            label_names=self.label_names,
            text=text,
            labeler=labeler,
            uncertainty=uncertainty,
            blank=blank,
            test_labels=test_labels,
            rois=rois,
        )

    @property
    def privileged_part(self) -> str:
        """The part of the report, as `text` names it."""
        return self.reader.text

    def read_splits(self) -> Mapping[str, Split]:
        """Read tables, reports and regions."""
        return self.reader.read()
