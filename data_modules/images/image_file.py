"""Read image files of any supported kind as one-channel float32 arrays in [0, 1]."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_modules.images import dicom
from data_modules.images.decoding import DecodeError, decoding
from data_modules.images.dicom import is_dicom
from data_modules.images.masks import WIDE_MODES, MaskError, bright, region_of

Image.MAX_IMAGE_PIXELS = dicom.MAX_PIXELS

GreyRange = Literal["declared", "observed"]


class ImageReadError(OSError):
    """An image file is missing, truncated, or of a kind that cannot be decoded."""


def read_image(
    path: Path, min_side: int = 0, grey_range: GreyRange = "observed"
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Read an image as grey values, at reduced resolution where the format allows it.

    Padding of a DICOM file is ignored and becomes 0.

    Args:
        path: JPEG, PNG or DICOM file, recognised by its content, not its name.
        min_side: JPEG files are decoded at the smallest of 1/1, 1/2, 1/4, 1/8 whose sides are at least this; 0
            decodes everything.
        grey_range: What becomes 0 and 1 in a file of more than 8 bits: `declared`, the ends of the range that the file
            declares (window, look-up table or bits stored of a DICOM header, all 16 bits of a PNG), so that one grey
            value means the same in all files of one scanner; or `observed`, its own darkest and brightest pixel,
            which makes an image independent of its header. This also holds for DICOM files of 8 bits; PNG and JPEG
            files of 8 bits are always read on their full scale.

    Returns:
        Float32 (h, w) in [0, 1], bright = dense, and the (height, width) of the image in the file, which
        annotations refer to.

    Raises:
        ImageReadError: If the file cannot be read completely, or holds several frames.
    """
    with _naming(path):
        if is_dicom(path):
            return _scaled(dicom.read_grey(path), grey_range)
        image, frame = _load(path, min_side)
        return _grey(image, grey_range), frame


def used_range(path: Path) -> tuple[float, float]:
    """Return the part of its declared grey scale that an image uses.

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
    """Read a mask file (PNG, JPEG or DICOM) of two levels of grey, opacity, palette or colour; see `region_of`.

    Returns:
        Bool (h, w), True in the region.

    Raises:
        ImageReadError: If the file cannot be read completely, or does not show which pixels are the region.
    """
    with _naming(path):
        if not is_dicom(path):
            return region_of(_load(path)[0])
        # without a VOI window, since one meant for a 16 bit radiograph would flatten an 8 bit mask
        stored = dicom.read_stored(path)
        if stored.pixels.ndim != 2 or not is_binary(stored.pixels):
            raise MaskError("it is an image where a mask of two grey levels is expected")
        region = bright(stored.pixels)
        return ~region if stored.is_inverted else region


def read_size(path: Path) -> tuple[int, int]:
    """Read the (height, width) of an image from its header, without decoding it.

    Raises:
        ImageReadError: If there is no image.
    """
    return read_identity(path)[0]


def read_identity(path: Path) -> tuple[tuple[int, int], str]:
    """Read the size of an image and an identifier that all its copies share, without decoding it.

    Returns:
        (height, width), and the SOP Instance UID of a DICOM file, else its path.

    Raises:
        ImageReadError: If there is no image.
    """
    with _naming(path):
        if is_dicom(path):
            size, uid = dicom.read_identity(path)
            return size, uid or str(path)
        with decoding("the header"), Image.open(path) as image:
            return (image.height, image.width), str(path)


def read_dicom_pixels(path: Path) -> NDArray[np.integer[Any]]:
    """Read the stored values of a DICOM image of one frame, without any look-up table.

    Returns:
        Integers (h, w), or (h, w, 3) of a colour image.

    Raises:
        ImageReadError: If the file holds no such image, is damaged, or has an unsupported transfer syntax.
    """
    with _naming(path):
        return dicom.read_stored(path).pixels


def is_binary(pixels: NDArray[np.generic]) -> bool:
    """Return whether an image has at most two grey levels."""
    return bool(((pixels == pixels.min()) | (pixels == pixels.max())).all())


def rescale(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Scale values linearly so that two of them become 0 and 1, and clip.

    Args:
        values: Float32 (h, w).
        low: Value that becomes 0.
        high: Value that becomes 1; if it is not above `low`, as in a constant image, all values become 0.

    Returns:
        Float32 (h, w) in [0, 1].
    """
    if high <= low:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), dtype=np.float32)


def stretch(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale values so that the smallest becomes 0 and the largest 1; a constant image becomes 0."""
    return rescale(values, float(values.min()), float(values.max()))


def _scaled(image: dicom.GreyImage, grey_range: GreyRange) -> tuple[NDArray[np.float32], tuple[int, int]]:
    scaled = rescale(image.values, *((0.0, image.span) if grey_range == "declared" else image.observed()))
    if image.padding is not None:
        scaled[image.padding] = 0
    return scaled, (scaled.shape[0], scaled.shape[1])


def _load(path: Path, min_side: int = 0) -> tuple[Image.Image, tuple[int, int]]:
    """Decode a file of one frame, and return it with its full (height, width), before any reduced decoding."""
    with decoding("the file"), Image.open(path) as image:
        frame = (image.height, image.width)
        if min_side and image.format == "JPEG":
            image.draft("L", (min_side, min_side))
        frames = getattr(image, "n_frames", 1)
        image.load()
    if frames != 1:
        raise DecodeError(f"it holds {frames} frames where one two-dimensional frame is expected")
    return image, frame


def _grey(image: Image.Image, grey_range: GreyRange) -> NDArray[np.float32]:
    if image.mode in WIDE_MODES:
        return _wide(np.asarray(image), grey_range)
    if image.has_transparency_data:
        # transparent pixels of exported radiographs have arbitrary colours, so blend them with black
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    # in one step, without an array of unscaled floats
    values: NDArray[np.float32] = np.divide(np.asarray(image.convert("L")), np.float32(255.0), dtype=np.float32)
    return values


def _wide(pixels: NDArray[Any], grey_range: GreyRange) -> NDArray[np.float32]:
    """Scale pixels of 16 bits, or of 32 bit floats, which have no scale of their own."""
    low = float(pixels.min())
    high = float(pixels.max())
    is_float = pixels.dtype.kind == "f"
    if not np.isfinite(low + high) or not (is_float or 0 <= low <= high <= 65535):
        raise DecodeError(f"its values reach from {low:g} to {high:g} where 0 to 65535 is expected")
    values = pixels.astype(np.float32)
    return rescale(values, 0, 65535) if grey_range == "declared" and not is_float else stretch(values)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the name of the file to errors of decoding."""
    try:
        yield
    except (DecodeError, MaskError) as error:
        what = f"cannot be read: {error}" if path.exists() else "does not exist"
        raise ImageReadError(
            f"Expected a complete JPEG, PNG or DICOM image but '{path}' {what}. Restore it, or leave it out."
        ) from error
