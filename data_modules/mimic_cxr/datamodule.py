"""The MIMIC-CXR data module."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from data_modules.base import License, PrivilegedDataModule
from data_modules.images.geometry import Resize
from data_modules.images.image_file import GreyRange
from data_modules.images.transforms import Augmentation
from data_modules.mimic_cxr.labels import Blank, Uncertainty
from data_modules.mimic_cxr.ms_cxr import MS_CXR_FINDINGS
from data_modules.mimic_cxr.reader import ImageFormat, Labeler, MIMICCXRReader, RoiSplit, TestLabels
from data_modules.mimic_cxr.reports import TextMode
from data_modules.mimic_cxr.rois import RoiSource
from data_modules.split import Split


class MIMICCXRDataModule(PrivilegedDataModule):
    """Frontal chest radiographs, CheXpert labels, reports as privileged text, and regions of several collections.

    Access: credentialed, from PhysioNet: MIMIC-CXR-JPG 2.0.0 or 2.1.0 (images, labels, split), MIMIC-CXR 2.0.0
    (reports, and images as DICOM), and MS-CXR, REFLACX or Chest ImaGenome (regions). Nothing of them may be shared, or
    sent to an online service.

    Cite: Johnson et al., "MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs",
    https://arxiv.org/abs/1901.07042; Johnson et al., "MIMIC-CXR, a de-identified publicly available database of chest
    radiographs with free-text reports", Scientific Data 6:317, 2019; Boecking et al., "Making the most of text
    semantics to improve biomedical vision-language processing", ECCV 2022, https://arxiv.org/abs/2204.09817 (MS-CXR);
    Bigolin Lanfredi et al., "REFLACX, a dataset of reports and eye-tracking data for localization of abnormalities in
    chest x-rays", Scientific Data 9:350, 2022; Wu et al., "Chest ImaGenome dataset for clinical reasoning", NeurIPS
    Datasets and Benchmarks 2021, https://arxiv.org/abs/2108.00316.

    Read before use:
    (1) The labels are computed from the impression, else from the findings of the same report. A teacher that reads
    `impression` or `full` re-implements the labeler, and its targets are little more than smoothed labels. `findings` is less
    of a leak (a study without impression was labelled from it), `label_masked` less still, and `indication` is known
    before the image.
    (2) Most annotated images are in the official training split; every patient with a region in any collection that is
    found leaves training, by patient. MS-CXR's own split is never used. A collection has no regions of findings that it has no
    names for: `mmpkd check-data` counts them as `roi_not_annotated`.
    (3) Labels are by study: a frontal image may be labelled for what only the lateral one shows.
    (4) 3,269 test studies come from 293 patients: intervals must be clustered by patient, as all of ours are.
    (5) Files are histogram equalised 8 bit copies of the radiographs; do not equalise them again.

    Args:
        root: Folder of the images, with `files/`, or up to six folders above, as in a mirror; the same holds for the others.
        tables_root: Folder of the tables of MIMIC-CXR-JPG; `root` by default.
        reports_root: Folder of the reports, as a tree, `mimic-cxr-reports.zip` or `mimic_cxr_sectioned.csv` (or .gz; its own
            sections are then trusted); `root` by default.
        roi_root: Folder of the collections with regions, or of one of them; one that holds none is refused. By default they are
            looked for in `root`, and without any there are no regions, and nobody is held out of training. Of several
            versions of a collection the newest is scored, and patients of all are held out. The log says what was found.
        image_format: `jpg` for MIMIC-CXR-JPG, `dicom` for the images of MIMIC-CXR.
        label_names: Findings; by default the eight that MS-CXR has boxes of.
        text: What the teacher reads: `findings`, `impression`, `full` (both), `indication`, or `label_masked` (findings
            without the sentences that name a label). The labels are computed from the impression, else from the findings.
            A study without the section has no privileged input.
        labeler: Table of automatic labels.
        uncertainty: What -1 becomes: `ones`, `zeros`, `ignore`, or in training `smoothed`; or a policy by finding, and
            `ignore` for the others.
        blank: What a finding that is not mentioned becomes. "No Finding" has no zeros of its own: blank is 0 where
            another finding is stated.
        test_labels: Labels of the test split: `automatic`, or the `radiologist`'s of release 2.1.0, who read the reports of 687
            studies; the others have no label then.
        roi_source: Collection whose regions are scored: boxes of `ms_cxr`, ellipses of `reflacx`, or anatomical regions, not
            lesions, of Chest ImaGenome (`imagenome_gold`, or the automatic `imagenome_silver`).
        roi_split: `official` scores annotated images of the official validation and test splits only; `all` moves every
            annotated patient to the test split, for about seven times as many regions of MS-CXR.
        min_certainty: Smallest certainty of an ellipse of REFLACX, from 1 (unlikely) to 5; 3 is "possibly".
        image_size: Side of the square frame that the network sees, in pixels.
        batch_size: Samples a step and device.
        num_workers: Loader processes; 0 loads in the training process.
        seed: Seed of order and augmentation; the command line sets it to the run's seed.
        mean: Mean grey value, in [0, 1], for normalisation.
        std: Standard deviation of grey values.
        resize: `stretch` to the square frame, or `pad` to keep the aspect ratio.
        augmentation: Random changes of training images.
        load_images: Whether to read images and ROIs; None asks the module that is trained.
        load_privileged: Whether to serve reports; None asks the module that is trained.
        cache_images: Keep prepared images in memory after the first read.
        prepared: Folder that `mmpkd prepare` wrote with the same settings, or None to read the image files.
        max_train_samples: Use only the first so many training samples, or None for all.
        grey_range: What becomes 0 and 1 in DICOM and 16 bit files: the extremes of each image (`observed`), or the ends
            of the range that the file declares (`declared`).
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
        roi_root: Path | None = None,
        image_format: ImageFormat = "jpg",
        label_names: tuple[str, ...] = MS_CXR_FINDINGS,
        text: TextMode = "findings",
        labeler: Labeler = "chexpert",
        uncertainty: Uncertainty | dict[str, Uncertainty] = "ignore",
        blank: Blank = "zeros",
        test_labels: TestLabels = "automatic",
        roi_source: RoiSource = "ms_cxr",
        roi_split: RoiSplit = "official",
        min_certainty: int = 3,
        image_size: int = 224,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        mean: float = 0.5,
        std: float = 0.25,
        resize: Resize = "pad",
        augmentation: Augmentation | None = None,
        load_images: bool | None = None,
        load_privileged: bool | None = None,
        cache_images: bool = False,
        prepared: Path | None = None,
        max_train_samples: int | None = None,
        grey_range: GreyRange = "observed",
    ) -> None:
        super().__init__(
            label_names=label_names,
            image_size=image_size,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            mean=mean,
            std=std,
            resize=resize,
            augmentation=augmentation,
            load_images=load_images,
            load_privileged=load_privileged,
            cache_images=cache_images,
            prepared=prepared,
            max_train_samples=max_train_samples,
            grey_range=grey_range,
        )
        root = Path(root)
        self.reader = MIMICCXRReader(
            root,
            Path(tables_root or root),
            Path(reports_root or root),
            None if roi_root is None else Path(roi_root),
            image_format,
            self.label_names,
            text,
            labeler,
            uncertainty,
            blank,
            test_labels,
            roi_source,
            roi_split,
            min_certainty,
        )

    @property
    def privileged_part(self) -> str:
        """The part of the report, as `text` names it."""
        return self.reader.text

    def read_splits(self) -> Mapping[str, Split]:
        """Read tables, reports and regions."""
        return self.reader.read()
