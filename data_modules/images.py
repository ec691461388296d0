"""Read image files of any supported kind as one-channel float32 arrays in [0, 1]."""

from pathlib import Path

import numpy as np
import pydicom
import pydicom.errors
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

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
    pydicom.errors.InvalidDicomError,
)


class ImageReadError(OSError):
    """An image file is missing, truncated, or of a kind that cannot be decoded."""


def read_image(path: Path, min_side: int = 0) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Read an image as grey values, at reduced resolution where the format allows it.

    Args:
        path: JPEG, PNG or DICOM file.
        min_side: JPEG files are decoded at the smallest of 1/1, 1/2, 1/4, 1/8 whose sides are at least this; 0
            decodes everything.

    Returns:
        Float32 (h, w) in [0, 1], bright = dense, and the (height, width) of the image in the file, which
        annotations refer to.

    Raises:
        ImageReadError: If the file cannot be read completely.
    """
    if path.suffix.lower() in (".dcm", ".dicom"):
        pixels = read_dicom(path)
        return window(pixels), (pixels.shape[0], pixels.shape[1])
    try:
        with Image.open(path) as image:
            frame = (image.height, image.width)
            if min_side and image.format == "JPEG":
                image.draft("L", (min_side, min_side))
            return _grey(image), frame
    except _PILLOW_ERRORS as error:
        raise ImageReadError(_message(path, error)) from error


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask file (PNG, JPEG or DICOM); what belongs to the region is above half of the largest value.

    Returns:
        Bool (h, w).

    Raises:
        ImageReadError: If the file cannot be read completely, or is a DICOM image of more than two grey levels, which
            is no mask.
    """
    if path.suffix.lower() in (".dcm", ".dicom"):
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


def is_binary(pixels: NDArray[np.generic]) -> bool:
    """Return whether an image has at most two grey levels."""
    return bool(((pixels == pixels.min()) | (pixels == pixels.max())).all())


def read_dicom(path: Path) -> NDArray[np.float32]:
    """Read one DICOM frame: modality LUT, VOI window where the file has one, MONOCHROME1 inverted.

    Returns:
        Float32 (h, w) in the file's own units, bright = dense.

    Raises:
        ImageReadError: If the file is no DICOM image, is truncated, or has an unsupported transfer syntax.
    """
    dataset, pixels = _decode(path)
    try:
        values = np.asarray(apply_modality_lut(pixels, dataset))
        values = np.asarray(apply_voi_lut(values, dataset), dtype=np.float32)
    except _DICOM_ERRORS as error:
        raise ImageReadError(_message(path, error)) from error
    if values.ndim == 3 and values.shape[-1] in (3, 4):
        values = values[..., :3].mean(axis=-1)
    if values.ndim != 2:
        raise ImageReadError(f"Expected one two-dimensional frame in '{path}' but got pixels of shape {values.shape}.")
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        values = values.max() + values.min() - values
    return values


def read_dicom_pixels(path: Path) -> NDArray[np.generic]:
    """Read the stored values of a DICOM image, without any look-up table.

    Returns:
        The pixel array, in the type of the file.

    Raises:
        ImageReadError: If the file is no DICOM image, is truncated, or has an unsupported transfer syntax.
    """
    return _decode(path)[1]


def _decode(path: Path) -> tuple[pydicom.Dataset, NDArray[np.generic]]:
    try:
        dataset = pydicom.dcmread(path)
        return dataset, dataset.pixel_array
    except _DICOM_ERRORS as error:
        raise ImageReadError(_message(path, error)) from error


def window(values: NDArray[np.float32], low: float = 0.0, high: float = 100.0) -> NDArray[np.float32]:
    """Scale values linearly so that two percentiles become 0 and 1, and clip; a constant image becomes 0.

    Args:
        values: Float32 (h, w).
        low: Lower percentile.
        high: Upper percentile.

    Returns:
        Float32 (h, w) in [0, 1].
    """
    if (low, high) == (0.0, 100.0):
        bottom, top = float(values.min()), float(values.max())
    else:
        bottom, top = (float(v) for v in np.percentile(values, (low, high)))
    if top <= bottom:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - bottom) / (top - bottom), 0.0, 1.0), dtype=np.float32)


def _grey(image: Image.Image) -> NDArray[np.float32]:
    if image.mode in ("I;16", "I;16B", "I", "F"):
        values = np.asarray(image, dtype=np.float32)
        return values / np.float32(65535.0) if image.mode.startswith("I") else window(values)
    if image.mode in ("RGBA", "LA", "PA"):
        # transparent pixels of exported radiographs carry arbitrary colours: put them on black
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255.0)


def _message(path: Path, error: Exception) -> str:
    what = "does not exist" if not path.exists() else f"cannot be decoded ({type(error).__name__}: {error})"
    return f"Expected a complete JPEG, PNG or DICOM image but '{path}' {what}. Restore the file or drop its row."
