"""Read image files of any supported kind as one-channel float32 arrays in [0, 1]."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# pydicom takes half a second to import: it is imported where a DICOM file is read, so that loader processes of data
# sets in other formats never pay for it
if TYPE_CHECKING:
    import pydicom

# A radiograph of 2^28 pixels does not exist; larger headers are corrupt files.
Image.MAX_IMAGE_PIXELS = 2**28

# What Pillow and pydicom raise for files that are missing, damaged, or of an unsupported kind.
_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
_DICOM_ERRORS = (
    OSError,
    ValueError,
    AttributeError,
    RuntimeError,  # NotImplementedError too
    LookupError,
    EOFError,
)

GreyRange = Literal["declared", "observed"]


class ImageReadError(OSError):
    """An image file is missing, truncated, or of a kind that cannot be decoded."""


def read_image(
    path: Path, min_side: int = 0, grey_range: GreyRange = "observed"
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Read an image as grey values, at reduced resolution where the format allows it.

    Args:
        path: JPEG, PNG or DICOM file.
        min_side: JPEG files are decoded at the smallest of 1/1, 1/2, 1/4, 1/8 whose sides are at least this; 0
            decodes everything.
        grey_range: What becomes 0 and 1 in a DICOM file: `declared`, the ends of the range that its header declares
            (window, look-up table, or bits stored), so that one grey value means the same in all files of one
            scanner; or `observed`, its own darkest and brightest pixel, which makes an image independent of the
            header, and of what else is in the set. 8 bit and 16 bit files of other formats are read on their full
            scale.

    Returns:
        Float32 (h, w) in [0, 1], bright = dense, and the (height, width) of the image in the file, which
        annotations refer to.

    Raises:
        ImageReadError: If the file cannot be read completely.
    """
    if is_dicom(path):
        pixels, limits = read_dicom(path)
        scaled = rescale(pixels, *limits) if grey_range == "declared" else stretch(pixels)
        return scaled, (pixels.shape[0], pixels.shape[1])
    try:
        with Image.open(path) as image:
            frame = (image.height, image.width)
            if min_side and image.format == "JPEG":
                image.draft("L", (min_side, min_side))
            return _grey(image), frame
    except _PILLOW_ERRORS as error:
        raise ImageReadError(_message(path, error)) from error


def used_range(path: Path) -> tuple[float, float]:
    """Return which part of the grey scale that its file declares an image uses.

    A 16 bit PNG of 10 or 12 bit values uses 1/64 or 1/16 of its scale and comes out nearly black unless it is read
    between its own extremes.

    Args:
        path: JPEG, PNG or DICOM file.

    Returns:
        The darkest and the brightest pixel as fractions of the scale, in [0, 1]; a PNG of 12 bit values in 16 bits gives
        at most (0, 0.0625).

    Raises:
        ImageReadError: If the file cannot be read completely.
    """
    image, _ = read_image(path, grey_range="declared")
    return float(image.min()), float(image.max())


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask file (PNG, JPEG or DICOM); what belongs to the region is above half of the largest value.

    Returns:
        Bool (h, w).

    Raises:
        ImageReadError: If the file cannot be read completely, or is a DICOM image of more than two grey levels, which
            is no mask.
    """
    if is_dicom(path):
        # no VOI window: one meant for a 16 bit radiograph would flatten an 8 bit mask
        values = read_dicom_pixels(path)
        if not is_binary(values):
            raise ImageReadError(f"Expected a mask of two grey levels in '{path}' but got an image. Check the files.")
    else:
        try:
            with Image.open(path) as image:
                values = np.asarray(image.convert("L"))
        except _PILLOW_ERRORS as error:
            raise ImageReadError(_message(path, error)) from error
    # half of the maximum serves {0, 1}, {0, 2}, {0, 255} and JPEG ringing alike
    return np.asarray(np.greater(values, max(float(values.max()) / 2, 0.0)), dtype=np.bool_)


def is_dicom(path: Path) -> bool:
    """Return whether a file is read as DICOM, by its name."""
    return path.suffix.lower() in (".dcm", ".dicom")


def read_size(path: Path) -> tuple[int, int]:
    """Read the (height, width) of an image from its header, without decoding it.

    Raises:
        ImageReadError: If there is no image.
    """
    if not is_dicom(path):
        try:
            with Image.open(path) as image:
                return image.height, image.width
        except _PILLOW_ERRORS as error:
            raise ImageReadError(_message(path, error)) from error
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Rows), int(header.Columns)
    except (*_DICOM_ERRORS, InvalidDicomError) as error:
        raise ImageReadError(_message(path, error)) from error


def is_binary(pixels: NDArray[np.generic]) -> bool:
    """Return whether an image has at most two grey levels."""
    return bool(((pixels == pixels.min()) | (pixels == pixels.max())).all())


def read_dicom(path: Path) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Read one DICOM frame: modality LUT, VOI window where the file has one, MONOCHROME1 inverted.

    Returns:
        Float32 (h, w) in the file's own units, bright = dense, and the range that the header declares for them.

    Raises:
        ImageReadError: If the file is no DICOM image, is truncated, or has an unsupported transfer syntax.
    """
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    dataset, pixels = _decode(path)
    try:
        values = np.asarray(apply_modality_lut(pixels, dataset))
        values = np.asarray(apply_voi_lut(values, dataset), dtype=np.float32)
        low, high = declared_range(dataset)
    except _DICOM_ERRORS as error:
        raise ImageReadError(_message(path, error)) from error
    if values.ndim == 3 and values.shape[-1] in (3, 4):
        values = values[..., :3].mean(axis=-1)
    if values.ndim != 2:
        raise ImageReadError(f"Expected one two-dimensional frame in '{path}' but got pixels of shape {values.shape}.")
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        values = np.float32(low + high) - values
    return values, (low, high)


def declared_range(dataset: "pydicom.Dataset") -> tuple[float, float]:
    """Return the range of values that a DICOM header declares, after its modality and VOI look-up.

    DICOM PS3.3 C.11.1 and C.11.2: a look-up table declares the bits of its entries; a window maps onto the range of the
    values that go into it; without either, the stored bits and the rescale slope and intercept tell.

    Args:
        dataset: The header.

    Returns:
        Smallest and largest value that can occur.
    """
    for sequence in ("VOILUTSequence", "ModalityLUTSequence"):
        tables = dataset.get(sequence)
        if tables:
            return 0.0, float(2 ** int(tables[0].LUTDescriptor[2]) - 1)
    bits, signed = int(dataset.BitsStored), bool(dataset.get("PixelRepresentation", 0))
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    low, high = sorted(slope * end + intercept for end in ends)
    return low, high


def read_dicom_pixels(path: Path) -> NDArray[np.generic]:
    """Read the stored values of a DICOM image, without any look-up table.

    Returns:
        The pixel array, in the type of the file.

    Raises:
        ImageReadError: If the file is no DICOM image, is truncated, or has an unsupported transfer syntax.
    """
    return _decode(path)[1]


def _decode(path: Path) -> tuple["pydicom.Dataset", NDArray[np.generic]]:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(path)
        return dataset, dataset.pixel_array
    except (*_DICOM_ERRORS, InvalidDicomError) as error:
        raise ImageReadError(_message(path, error)) from error


def rescale(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Scale values linearly so that two of them become 0 and 1, and clip.

    Args:
        values: Float32 (h, w).
        low: What becomes 0.
        high: What becomes 1; if it is not above `low`, as in a constant image, all become 0.

    Returns:
        Float32 (h, w) in [0, 1].
    """
    if high <= low:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), dtype=np.float32)


def stretch(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale values so that the smallest becomes 0 and the largest 1; a constant image becomes 0."""
    return rescale(values, float(values.min()), float(values.max()))


def _grey(image: Image.Image) -> NDArray[np.float32]:
    if image.mode in ("I;16", "I;16B", "I", "F"):
        values = np.asarray(image, dtype=np.float32)
        return values / np.float32(65535.0) if image.mode.startswith("I") else stretch(values)
    if image.mode in ("RGBA", "LA", "PA"):
        # transparent pixels of exported radiographs carry arbitrary colours: put them on black
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255.0)


def _message(path: Path, error: Exception) -> str:
    what = "does not exist" if not path.exists() else f"cannot be decoded ({type(error).__name__}: {error})"
    return f"Expected a complete JPEG, PNG or DICOM image but '{path}' {what}. Restore the file or drop its row."
