"""The MIMIC-CXR data module."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from data_modules.base import License, PrivilegedDataModule
from data_modules.geometry import Resize
from data_modules.mimic_cxr.labels import Blank, Uncertainty
from data_modules.mimic_cxr.reader import Labeler, MIMICCXRReader, RoiSplit, TestLabels
from data_modules.mimic_cxr.reports import TextMode
from data_modules.split import Split
from data_modules.transforms import Augmentation

MS_CXR_FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Lung Opacity",
    "Pleural Effusion",
    "Pneumonia",
    "Pneumothorax",
)


class MIMICCXRDataModule(PrivilegedDataModule):
    """Frontal chest radiographs, CheXpert labels, reports as privileged text, and boxes of MS-CXR.

    Access: credentialed, from PhysioNet: MIMIC-CXR-JPG 2.0.0 or 2.1.0 (images, labels, split), MIMIC-CXR 2.0.0
        (reports)
    and MS-CXR (boxes). Nothing of them may be shared, or sent to an online service.

    Cite: Johnson et al., "MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs",
    https://arxiv.org/abs/1901.07042; Johnson et al., "MIMIC-CXR, a de-identified publicly available database of chest
    radiographs with free-text reports", Scientific Data 6:317, 2019; Boecking et al., "Making the most of text
    semantics to improve biomedical vision-language processing", ECCV 2022, https://arxiv.org/abs/2204.09817 (MS-CXR).

    Read before use: (1) the labels are computed from the impression, else from the findings of the same report. A
    teacher that reads `impression` re-implements the labeler; `findings` is less of a leak, and `indication` is known
    before the image. (2) Most boxed images are in the official training split; every patient with a box leaves
    training, by patient.

    Args:
        root: Folder of MIMIC-CXR-JPG, with the tables and `files/`.
        reports_root: Folder of the reports; `root` by default.
        roi_root: Folder of MS-CXR; `root` by default. Without its file there are no ROIs.
        label_names: Findings; by default the eight that MS-CXR has boxes of.
        text: Section that the teacher reads. A study without it has no privileged input.
        labeler: Table of automatic labels.
        uncertainty: What -1 becomes.
        blank: What a finding that is not mentioned becomes.
        test_labels: Labels of the test split: `automatic`, or the `radiologist`'s of release 2.1.0.
        roi_split: `official` scores boxed images of the official validation and test splits only; `all` moves every
            patient with a box to the test split, for about seven times as many ROIs.
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
    """

    license: ClassVar[License] = "credentialed"

    def __init__(
        self,
        root: Path,
        reports_root: Path | None = None,
        roi_root: Path | None = None,
        label_names: tuple[str, ...] = MS_CXR_FINDINGS,
        text: TextMode = "findings",
        labeler: Labeler = "chexpert",
        uncertainty: Uncertainty = "ignore",
        blank: Blank = "zeros",
        test_labels: TestLabels = "automatic",
        roi_split: RoiSplit = "official",
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
        )
        root = Path(root)
        self.reader = MIMICCXRReader(
            root,
            Path(reports_root or root),
            Path(roi_root or root),
            self.label_names,
            text,
            labeler,
            uncertainty,
            blank,
            test_labels,
            roi_split,
        )

    def read_splits(self) -> Mapping[str, Split]:
        """Read tables, reports and boxes."""
        return self.reader.read()
