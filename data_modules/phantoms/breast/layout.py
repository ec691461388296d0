"""Breast phantoms in the layout of CBIS-DDSM: four description files and a DICOM tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from data_modules.phantoms.breast.lesions import Mass
from data_modules.phantoms.breast.phantom import (
    Mammogram,
    Reading,
    draw_mammogram,
    read_mammogram,
    sample_breast,
    sample_lesion,
    sample_mammogram,
)
from data_modules.phantoms.primitives import bounding_box
from data_modules.phantoms.writing import write_once
from data_modules.processes.parallel import parallel

Preset = Literal["default", "hard"]
MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# 2.25 is the DICOM root for UIDs derived from a number
UID_ROOT = "2.25"
COLUMNS = {
    "mass": ("breast_density", "mass shape", "mass margins"),
    "calc": ("breast density", "calc type", "calc distribution"),
}
P_TWO_VIEWS = 0.7


@dataclass(frozen=True)
class Patient:
    """A patient with one breast that was imaged in one or two views.

    Attributes:
        subset: Training or Test.
        number: Position in the subset; with the seed it determines the phantom.
        patient_id: P_00001 and so on.
        views: CC, MLO or both.
        seed: Seed of the set.
    """

    subset: str
    number: int
    patient_id: str
    views: tuple[str, ...]
    seed: int


def write_breast_phantoms(
    root: Path,
    *,
    num_train: int = 4500,
    num_test: int = 1000,
    image_size: int = 128,
    seed: int = 0,
    mass_fraction: float = 1.0,
    preset: Preset = "default",
    num_workers: int | None = None,
) -> None:
    """Write breast phantoms, unless they are there already.

    Args:
        root: Folder, created.
        num_train: Training images, from which a reader draws its validation set, since there is no official one.
        num_test: Test images.
        image_size: Side of the full images in pixels.
        seed: Seed of everything.
        mass_fraction: Share of masses; the others are calcifications, which are only visible above 64 pixels.
        preset: `hard` adds a corrupt file and masks of another size, for tests of readers.
        num_workers: Processes; by default one per processor.

    Raises:
        FileExistsError: If the folder holds other files, or phantoms of other settings.
    """
    settings = {"kind": "breast", "num_train": num_train, "num_test": num_test, "image_size": image_size, "seed": seed}
    settings |= {"mass_fraction": mass_fraction, "preset": preset}

    def write() -> None:
        patients = plan_patients({"Training": num_train, "Test": num_test}, seed)
        job = partial(write_patient, root=root, image_size=image_size, mass_fraction=mass_fraction, preset=preset)
        rows = [row for written in parallel(job, patients, num_workers, "writing breast phantoms") for row in written]
        write_descriptions(root, rows)

    write_once(root, settings, write)


def plan_patients(counts: dict[str, int], seed: int) -> list[Patient]:
    """Give patients their identifiers and views."""
    patients: list[Patient] = []
    for subset, count in counts.items():
        # each subset has a random stream and a range of identifiers of its own, so it does not depend on the size of the other
        test = int(subset == "Test")
        rng = np.random.default_rng([seed, 5, test])
        first = 1 + 50_000 * test
        number = 0
        while count > 0:
            one_view = ("CC",) if rng.random() < 0.5 else ("MLO",)
            views = ("CC", "MLO") if count > 1 and rng.random() < P_TWO_VIEWS else one_view
            patients.append(Patient(subset, number, f"P_{first + number:05d}", views, seed))
            count -= len(views)
            number += 1
    return patients


def write_patient(
    patient: Patient, root: Path, image_size: int, mass_fraction: float, preset: Preset
) -> list[dict[str, str]]:
    """Write the images of one patient, which do not depend on other patients.

    Returns:
        One row of the description files per view.
    """
    rng = np.random.default_rng([patient.seed, 77, int(patient.subset == "Test"), patient.number])
    breast = sample_breast(rng)
    lesion = sample_lesion(rng, mass_fraction)
    reading = read_mammogram(rng, lesion, breast.density)
    rows = []
    for view in patient.views:
        mammogram = sample_mammogram(rng, breast, view, lesion)
        rows.append(_write_view(patient, mammogram, reading, rng, root, image_size, preset))
    return rows


def _write_view(
    patient: Patient,
    mammogram: Mammogram,
    reading: Reading,
    rng: np.random.Generator,
    root: Path,
    image_size: int,
    preset: Preset,
) -> dict[str, str]:
    kind = "mass" if isinstance(mammogram.lesion, Mass) else "calc"
    name = f"{kind.capitalize()}-{patient.subset}_{patient.patient_id}_{mammogram.breast.side}_{mammogram.view}"
    image, region = draw_mammogram(mammogram, image_size)
    # 16 bit words with an offset, as in scanned film
    pixels = (image * 60000 + 2000).astype(np.uint16)
    full = _new_series(rng)
    crop = _new_series(rng)
    tree = root / "CBIS-DDSM"
    _write_dicom(tree / name / full / "1-1.dcm", pixels, name, "full mammogram images")
    mask = region.astype(np.uint8) * 255
    if preset == "hard":
        mask = _make_hard(rng, tree / name / full / "1-1.dcm", mask)
    # in the real delivery, too, either of the two files may be the mask
    mask_first = bool(rng.random() < 0.5)
    places = ("1-1.dcm", "1-2.dcm") if mask_first else ("1-2.dcm", "1-1.dcm")
    _write_dicom(tree / f"{name}_1" / crop / places[0], mask, f"{name}_1", "ROI mask images")
    _write_dicom(tree / f"{name}_1" / crop / places[1], _crop(pixels, region), f"{name}_1", "cropped images")
    return _description(patient, mammogram, reading, kind, f"{name}/{full}", f"{name}_1/{crop}")


def _make_hard(rng: np.random.Generator, path: Path, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kind = rng.random()
    if kind < 0.05:
        path.write_bytes(path.read_bytes()[:400])  # a corrupt file
    elif kind < 0.15:
        return np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)  # twice the scale, which can be aligned
    elif kind < 0.2:
        return np.ascontiguousarray(mask[: mask.shape[0] * 4 // 5])  # other proportions, which cannot be aligned
    return mask


def _crop(pixels: NDArray[np.uint16], region: NDArray[np.bool_]) -> NDArray[np.uint16]:
    box = bounding_box(region)
    if box is None:
        return pixels[:8, :8]
    return np.ascontiguousarray(pixels[box.y : box.y + box.height, box.x : box.x + box.width])


def _new_series(rng: np.random.Generator) -> str:
    """Return `<StudyUID>/<SeriesUID>`."""
    return "/".join(f"{UID_ROOT}.{int(rng.integers(1, 2**62))}" for _ in range(2))


def _write_dicom(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16], patient: str, description: str) -> None:
    study, series = path.parent.parts[-2:]
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MAMMOGRAPHY if description.startswith("full") else SECONDARY_CAPTURE
    meta.MediaStorageSOPInstanceUID = f"{series}.{1 if path.stem == '1-1' else 2}"
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.PatientID = dataset.PatientName = patient
    dataset.Modality = "MG"
    dataset.SeriesDescription = description
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit = 8 * pixels.itemsize - 1
    dataset.PixelRepresentation = 0
    # values of DICOM elements have an even number of bytes
    dataset.PixelData = pixels.tobytes() + (b"\0" if pixels.nbytes % 2 else b"")
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _description(
    patient: Patient, mammogram: Mammogram, reading: Reading, kind: str, full: str, crop: str
) -> dict[str, str]:
    lesion = mammogram.lesion
    density, first, second = COLUMNS[kind]
    atoms = (lesion.shape, lesion.margins) if isinstance(lesion, Mass) else (lesion.kind, lesion.distribution)
    # as in the real files, these names differ from the delivered ones, and between masses and calcifications
    crop_file, mask_file = ("000000.dcm", "000001.dcm\n") if kind == "mass" else ("000001.dcm\n", "000000.dcm")
    return {
        "subset": patient.subset,
        "kind": kind,
        "patient_id": patient.patient_id,
        density: str(mammogram.breast.density),
        "left or right breast": mammogram.breast.side,
        "image view": mammogram.view,
        "abnormality id": "1",
        "abnormality type": "mass" if kind == "mass" else "calcification",
        first: atoms[0],
        second: atoms[1],
        "assessment": str(reading.assessment),
        "pathology": reading.pathology,
        "subtlety": str(mammogram.subtlety),
        "image file path": f"{full}/000000.dcm",
        "cropped image file path": f"{crop}/{crop_file}",
        "ROI mask file path": f"{crop}/{mask_file}",
    }


def write_descriptions(root: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write the four description files; those of a kind that was not drawn have only a header."""
    for kind in COLUMNS:
        density, first, second = COLUMNS[kind]
        header = ["patient_id", density, "left or right breast", "image view", "abnormality id", "abnormality type"]
        header += [first, second, "assessment", "pathology", "subtlety"]
        header += ["image file path", "cropped image file path", "ROI mask file path"]
        for subset, suffix in (("Training", "train"), ("Test", "test")):
            own = [row for row in rows if row["kind"] == kind and row["subset"] == subset]
            frame = pd.DataFrame(own, columns=["subset", "kind", *header])[header]
            path = root / f"{kind}_case_description_{suffix}_set.csv"
            frame.to_csv(path, index=False, lineterminator="\r\n")
