"""Tiny CBIS-DDSM: the four description files and the DICOM tree, in the distributed layout with all its traps."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Form = Literal["classic", "descriptive"]

HEADER = {
    "mass": "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
    "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path",
    "calc": "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,calc type,"
    "calc distribution,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path",
}
DEFAULTS = {
    "mass": {"first": "OVAL", "second": "CIRCUMSCRIBED"},
    "calc": {"first": "PLEOMORPHIC", "second": "CLUSTERED"},
}


@dataclass(frozen=True)
class Lesion:
    """One row of a description file.

    `box` is (y0, x0, y1, x1) of the lesion in the full image, which is `size` pixels.
    """

    patient: str
    pathology: str = "BENIGN"
    kind: Literal["mass", "calc"] = "mass"
    subset: Literal["train", "test"] = "train"
    side: str = "LEFT"
    view: str = "CC"
    number: int = 1
    density: str = "2"
    first: str | None = None
    second: str | None = None
    assessment: str = "4"
    subtlety: str = "3"
    box: tuple[int, int, int, int] = (10, 8, 20, 14)
    size: tuple[int, int] = (60, 40)

    @property
    def image_folder(self) -> str:
        subset = {"train": "Training", "test": "Test"}[self.subset]
        return f"{self.kind.capitalize()}-{subset}_{self.patient}_{self.side}_{self.view}"

    @property
    def roi_folder(self) -> str:
        return f"{self.image_folder}_{self.number}"

    @property
    def mask(self) -> NDArray[np.bool_]:
        mask = np.zeros(self.size, dtype=np.bool_)
        y0, x0, y1, x1 = self.box
        mask[y0:y1, x0:x1] = True
        return mask

    def line(self) -> str:
        """Return the row as distributed: the mask of masses is 000001.dcm, of calcifications 000000.dcm."""
        first, second = self.first, self.second
        defaults = DEFAULTS[self.kind]
        image = f"{self.image_folder}/1.3.6.1/{series_uid(self.image_folder)}/000000.dcm"
        folder = f"{self.roi_folder}/1.3.6.3/{series_uid(self.roi_folder)}"
        crop, mask = f"{folder}/000000.dcm", f'"{folder}/000001.dcm\n"'
        if self.kind == "calc":
            crop, mask = f'"{folder}/000001.dcm\n"', f"{folder}/000000.dcm"
        cells = [self.patient, self.density, self.side, self.view, str(self.number)]
        cells += ["mass" if self.kind == "mass" else "calcification"]
        cells += [defaults["first"] if first is None else first, defaults["second"] if second is None else second]
        return ",".join([*cells, self.assessment, self.pathology, self.subtlety, image, crop, mask])


def write_tables(root: Path, lesions: Sequence[Lesion]) -> None:
    """Write the four description files, with CRLF line ends and line feeds inside quoted paths."""
    root.mkdir(parents=True, exist_ok=True)
    for kind, header in HEADER.items():
        for subset in ("train", "test"):
            lines = [lesion.line() for lesion in lesions if (lesion.kind, lesion.subset) == (kind, subset)]
            path = root / f"{kind}_case_description_{subset}_set.csv"
            path.write_bytes("".join(f"{line}\r\n" for line in [header, *lines]).encode())


def write_images(
    root: Path,
    lesions: Sequence[Lesion],
    mask_first: bool = False,
    mask_bits: Literal[8, 16] = 8,
    form: Form = "classic",
    masks: Mapping[str, Pixels] | None = None,
) -> None:
    """Write full images, and crop and mask of each lesion.

    Args:
        root: Folder of the PatientID folders.
        lesions: Which.
        mask_first: Whether `1-1.dcm` is the mask and `1-2.dcm` the crop, or the other way round.
        mask_bits: Masks come with 8 and with 16 bit.
        form: Classic or descriptive folder names.
        masks: Pixels that replace the mask of a lesion, by its PatientID.
    """
    for lesion in lesions:
        image = draw_image(lesion, lesions)
        write_dicom(root / lesion.image_folder / series_path(form, "full mammogram images") / "1-1.dcm", image)
        mask: Pixels = lesion.mask.astype(np.uint8) * np.uint8(255)
        if mask_bits == 16:
            mask = mask.astype(np.uint16) * np.uint16(257)
        mask = (masks or {}).get(lesion.roi_folder, mask)
        y0, x0, y1, x1 = lesion.box
        folder = root / lesion.roi_folder / series_path(form, "ROI mask images")
        names = ("1-1.dcm", "1-2.dcm") if mask_first else ("1-2.dcm", "1-1.dcm")
        write_dicom(folder / names[0], mask)
        write_dicom(folder / names[1], image[y0:y1, x0:x1])


def draw_image(lesion: Lesion, lesions: Sequence[Lesion]) -> NDArray[np.uint16]:
    """Draw a breast at its chest wall, with the lesions of this image, on a background that is dark but not 0."""
    height, width = lesion.size
    y, x = np.mgrid[:height, :width]
    distance = x if lesion.side == "LEFT" else width - 1 - x
    breast = (distance / (0.7 * width)) ** 2 + ((y - height / 2) / (0.45 * height)) ** 2 < 1
    image: NDArray[np.int64] = 800 + np.where(breast, 20_000 + 30 * y + 20 * x, (y + x) % 3 * 50)
    for other in lesions:
        if other.image_folder == lesion.image_folder:
            image = np.where(other.mask, 55_000 + 10 * y + x, image)
    return image.astype(np.uint16)


def write_jpeg_release(root: Path, lesions: Sequence[Lesion], split_series: bool = False) -> None:
    """Write the JPEG copy: `jpeg/<SeriesInstanceUID>/<a>-<bbb>.jpg`, the description files in `csv/`.

    Args:
        root: Folder of the data set.
        lesions: Rows of the description files.
        split_series: Crop and mask lie in two series, as for some lesions of the data set.
    """
    write_tables(root / "csv", lesions)
    for number, lesion in enumerate(lesions):
        image = (draw_image(lesion, lesions) // 257).astype(np.uint8)
        y0, x0, y1, x1 = lesion.box
        # which number is the mask's changes from lesion to lesion
        names = ("1-172.jpg", "2-236.jpg") if number % 2 else ("2-236.jpg", "1-172.jpg")
        folders = [series_uid(lesion.roi_folder)] * 2
        if split_series:
            folders[1] += ".9"
            path = root / "csv" / f"{lesion.kind}_case_description_{lesion.subset}_set.csv"
            crop = f"{lesion.roi_folder}/1.3.6.3/{folders[0]}/000000.dcm"
            text = path.read_bytes().decode().replace(crop, crop.replace(folders[0], folders[1]))
            path.write_bytes(text.encode())
        files = {
            f"{series_uid(lesion.image_folder)}/1-045.jpg": image,
            f"{folders[0]}/{names[0]}": lesion.mask.astype(np.uint8) * np.uint8(255),
            f"{folders[1]}/{names[1]}": image[y0:y1, x0:x1],
        }
        for name, pixels in files.items():
            target = root / "jpeg" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target, quality=90)


def series_uid(folder: str) -> str:
    """Return the SeriesInstanceUID in the paths of a PatientID."""
    return f"1.3.6.1.4.1.9590.{zlib.crc32(folder.encode())}"


def series_path(form: Form, description: str) -> str:
    """Return the two folder levels below a PatientID."""
    if form == "classic":
        return "1.3.6.1.4.1.9590.100.1.2.1/1.3.6.1.4.1.9590.100.1.2.2"
    return f"10-04-2016-DDSM-NA-30288/1.000000-{description}-24515"


def write_dicom(
    path: Path,
    pixels: Pixels,
    photometric: str = "MONOCHROME2",
    uid: str | None = None,
    orientation: list[str] | None = None,
) -> None:
    """Write one uncompressed DICOM image."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = uid or generate_uid()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality = "MG"
    if orientation is not None:
        dataset.PatientOrientation = orientation
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    bits = 8 * pixels.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits, bits - 1, 0
    dataset.PixelData = pixels.tobytes() + (b"\0" if pixels.nbytes % 2 else b"")
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def example() -> list[Lesion]:
    """Return lesions of twelve training and three test patients: several lesions an image, several pathologies."""
    lesions = []
    for number in range(12):
        pathology = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK")[number % 3]
        lesions.append(Lesion(f"P_{number:05d}", pathology, side=("LEFT", "RIGHT")[number % 2]))
    test = Lesion("P_00100", "BENIGN", subset="test")
    second = Lesion("P_00100", "MALIGNANT", subset="test", number=2, box=(30, 6, 36, 18), first="IRREGULAR")
    right = Lesion("P_00101", "BENIGN", subset="test", side="RIGHT", view="MLO", box=(25, 20, 40, 34))
    return [*lesions, test, second, right, Lesion("P_00102", "MALIGNANT", subset="test")]
