"""Chest phantoms in the layout of MIMIC-CXR-JPG 2.1.0, MIMIC-CXR reports and MS-CXR 1.1.0."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from data_modules.phantoms.chest.labels import LabelNoise, observed_labels
from data_modules.phantoms.chest.phantom import FINDINGS, finding_boxes, render_chest, sample_chest_scene
from data_modules.phantoms.chest.phantom import Split as SplitName
from data_modules.phantoms.chest.report import View, write_report
from data_modules.phantoms.primitives import Box
from data_modules.phantoms.writing import write_once
from data_modules.processes.parallel import parallel

Preset = Literal["default", "hard"]
CHEXPERT_COLUMNS = (
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
P_MISSING_REPORT = 0.02
IDS_PER_SPLIT = 3_000_000
# shares of images in the hard preset that are broken, lateral, or without a view position
HARD = {"truncated": 0.1, "lateral": 0.1, "no_view": 0.1}


@dataclass(frozen=True)
class Study:
    """Identifiers of one study, and its seed.

    Attributes:
        split: Official split.
        number: Position in the split; with the seed it determines the phantom.
        subject_id: Patient.
        study_id: Study.
        dicom_id: Image.
    """

    split: SplitName
    number: int
    subject_id: int
    study_id: int
    dicom_id: str

    @property
    def folder(self) -> str:
        """Folder of the study below the root."""
        return f"files/p{str(self.subject_id)[:2]}/p{self.subject_id}/s{self.study_id}"


@dataclass(frozen=True)
class StudyRows:
    """Rows of the tables about one study.

    Attributes:
        study: The study.
        labels: Automatic labels, float32 (5,).
        truth: Which findings there are, bool (5,).
        boxes: (finding, box) pairs.
        view: View position.
        drain: Whether there is a chest drain.
    """

    study: Study
    labels: NDArray[np.float32]
    truth: tuple[bool, ...]
    boxes: list[tuple[str, Box]]
    view: str
    drain: bool


def write_chest_phantoms(
    root: Path,
    *,
    num_train: int = 4000,
    num_val: int = 500,
    num_test: int = 1000,
    image_size: int = 128,
    seed: int = 0,
    label_noise: LabelNoise = "random",
    preset: Preset = "default",
    num_workers: int | None = None,
) -> None:
    """Write chest phantoms, unless they are there already.

    Args:
        root: Folder, created.
        num_train: Training studies, one frontal image each; patients have one to three.
        num_val: Validation studies.
        num_test: Test studies.
        image_size: Side of the images in pixels.
        seed: Seed of everything.
        label_noise: How the automatic labels err.
        preset: `hard` adds truncated files, lateral views and missing view positions, for tests of readers.
        num_workers: Processes; by default one per processor.

    Raises:
        FileExistsError: If the folder holds other files, or phantoms of other settings.
    """
    counts: dict[SplitName, int] = {"train": num_train, "validate": num_val, "test": num_test}
    settings: dict[str, str | int] = {f"num_{name}": count for name, count in counts.items()}
    settings |= {"kind": "chest", "image_size": image_size, "seed": seed}
    settings |= {"label_noise": label_noise, "preset": preset}

    def write() -> None:
        studies = plan_studies(counts, seed)
        job = partial(write_study, root=root, image_size=image_size, seed=seed, label_noise=label_noise, preset=preset)
        rows = list(parallel(job, studies, num_workers, "writing chest phantoms"))
        write_tables(root, rows, image_size)

    write_once(root, settings, write)


def plan_studies(counts: dict[SplitName, int], seed: int) -> list[Study]:
    """Give patients, studies and images their identifiers; no patient is in two splits."""
    studies: list[Study] = []
    for position, (split, count) in enumerate(counts.items()):
        # each split has a random stream and a range of identifiers of its own, so it does not depend on the size of another
        rng = np.random.default_rng([seed, 4, position])
        subject = 10_000_000 + position * IDS_PER_SPLIT
        left = 0
        for number in range(count):
            if left == 0:
                subject += int(rng.integers(1, 40))
                left = int(rng.integers(1, 4))
            left -= 1
            # 7,654,321 has no factor in common with the range, so no number occurs twice
            study_id = 50_000_000 + position * IDS_PER_SPLIT + number * 7_654_321 % IDS_PER_SPLIT
            digest = hashlib.sha256(f"{seed}-{study_id}".encode()).hexdigest()[:40]
            dicom_id = "-".join(digest[i : i + 8] for i in range(0, 40, 8))
            studies.append(Study(split, number, subject, study_id, dicom_id))
    return studies


def write_study(
    study: Study, root: Path, image_size: int, seed: int, label_noise: LabelNoise, preset: Preset
) -> StudyRows:
    """Write image and report of one study, which do not depend on other studies."""
    rng = np.random.default_rng([seed, ("train", "validate", "test").index(study.split), study.number])
    # streams of their own, so that neither label noise nor preset changes images and reports
    label_rng, file_rng = rng.spawn(2)
    scene = sample_chest_scene(rng, study.split)
    view: View = "PA" if rng.random() < 0.4 else "AP"
    report = write_report(rng, scene, view)
    labels = observed_labels(label_rng, scene.present, report.mentions, label_noise)
    image = render_chest(scene, image_size)
    folder = root / study.folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{study.dicom_id}.jpg"
    Image.fromarray(image.pixels).save(path, quality=95)
    if study.split != "train" or file_rng.random() >= P_MISSING_REPORT:
        folder.with_suffix(".txt").write_text(report.text, encoding="utf-8")
    shown = _make_hard(file_rng, path, view) if preset == "hard" else view
    truth = tuple(scene.present.tolist())
    return StudyRows(study, labels, truth, finding_boxes(image, scene), shown, scene.drain is not None)


def _make_hard(rng: np.random.Generator, path: Path, view: str) -> str:
    if rng.random() < HARD["truncated"]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    kind = rng.random()
    if kind < HARD["lateral"]:
        return "LATERAL"
    return "" if kind < HARD["lateral"] + HARD["no_view"] else view


def write_tables(root: Path, rows: list[StudyRows], image_size: int) -> None:
    """Write the tables of the release and of MS-CXR."""
    keys = pd.DataFrame(
        [(r.study.dicom_id, r.study.study_id, r.study.subject_id) for r in rows],
        columns=["dicom_id", "study_id", "subject_id"],
    )
    split = keys.assign(split=[r.study.split for r in rows])
    split.to_csv(root / "mimic-cxr-2.0.0-split.csv.gz", index=False)
    procedures = ["CHEST (PORTABLE AP)" if row.view == "AP" else "CHEST (PA AND LAT)" for row in rows]
    metadata = keys.assign(
        PerformedProcedureStepDescription=procedures,
        ViewPosition=[r.view for r in rows],
        Rows=image_size,
        Columns=image_size,
        StudyDate=21800101,  # dates of MIMIC are shifted into the future
        StudyTime=120000.0,
        ProcedureCodeSequence_CodeMeaning=procedures,
        ViewCodeSequence_CodeMeaning=[_VIEW_CODES.get(r.view, "") for r in rows],
        PatientOrientationCodeSequence_CodeMeaning="Erect",
    )
    metadata.to_csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", index=False)
    automatic = _label_table(rows, [dict(zip(FINDINGS, r.labels.tolist(), strict=True)) for r in rows])
    automatic.to_csv(root / "mimic-cxr-2.0.0-chexpert.csv.gz", index=False)
    tested = [r for r in rows if r.study.split == "test"]
    truth = _label_table(tested, [dict(zip(FINDINGS, map(float, r.truth), strict=True)) for r in tested])
    truth = truth.drop(columns="subject_id").rename(columns={"Lung Opacity": "Airspace Opacity"})
    truth.to_csv(root / "mimic-cxr-2.1.0-test-set-labeled.csv", index=False)
    _box_table(rows, image_size).to_csv(root / "MS_CXR_Local_Alignment_v1.1.0.csv", index=False)


_VIEW_CODES = {"AP": "antero-posterior", "PA": "postero-anterior", "LATERAL": "lateral"}


def _label_table(rows: list[StudyRows], labels: list[dict[str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(labels, columns=list(CHEXPERT_COLUMNS), dtype=float)
    # as labelers do: 1 if nothing was found, else blank, never 0
    nothing = ~(frame[list(FINDINGS)].isin([1.0, -1.0])).any(axis=1)
    frame["No Finding"] = np.where(nothing, 1.0, np.nan)
    frame["Support Devices"] = [1.0 if row.drain else np.nan for row in rows]
    frame.insert(0, "subject_id", [row.study.subject_id for row in rows])
    frame.insert(1, "study_id", [row.study.study_id for row in rows])
    return frame


def _box_table(rows: list[StudyRows], image_size: int) -> pd.DataFrame:
    boxes = [
        {
            "dicom_id": row.study.dicom_id,
            "category_name": name,
            "label_text": name.lower(),
            "path": f"{row.study.folder}/{row.study.dicom_id}.jpg",
            **dict(zip("xywh", box, strict=True)),
            "image_width": image_size,
            "image_height": image_size,
            "split": "test" if row.study.split == "test" else "val",
        }
        for row in rows
        if row.study.split != "train"
        for name, box in row.boxes
    ]
    columns = ["dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h"]
    return pd.DataFrame(boxes, columns=[*columns, "image_width", "image_height", "split"])
