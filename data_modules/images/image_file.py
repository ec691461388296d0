"""Read image files of any supported kind as one-channel float32 arrays in [0, 1]."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from data_modules.images import dicom
from data_modules.images.decoding import DecodeError, decoding
from data_modules.images.dicom import is_dicom
from data_modules.images.geometry import Size
from data_modules.images.masks import WIDE_MODES, MaskError, bright, region_of

Image.MAX_IMAGE_PIXELS = dicom.MAX_PIXELS

GreyRange = Literal["declared", "observed"]
# the tag of EXIF and TIFF that says how an image is shown, and its values for which rows are shown as columns
_ORIENTATION = 274
_TURNED = (5, 6, 7, 8)
# tags of TIFF: bits of each channel; 0 if small values are bright; 2 for signed numbers
_BITS = 258
_POLARITY = 262
_SAMPLE_FORMAT = 339


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
        with _opened(path, "the header") as (_, size):
            return size, str(path)


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


def _load(path: Path, min_side: int = 0) -> tuple[Image.Image, Size]:
    """Decode a file of one frame as it is shown, and return it with its full (height, width), before any reduced decoding."""
    with _opened(path, "the file") as (image, size):
        if min_side and image.format == "JPEG":
            image.draft("L", (min_side, min_side))
        # a JPEG file of a phone may hold a thumbnail, a depth or a brightness map behind the picture
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if frames != 1:
            raise DecodeError(f"it holds {frames} frames where one two-dimensional frame is expected")
        before = _orientation(image)
        image.load()
        # a PNG may say it behind its pixels, where nobody sees it who reads only the header
        if _orientation(image) != before:
            raise DecodeError(
                "it says only behind its pixels how it is turned when it is shown: save it as it is shown"
            )
        if before != 1:
            ImageOps.exif_transpose(image, in_place=True)
    return image, size


@contextmanager
def _opened(path: Path, what: str) -> Iterator[tuple[Image.Image, Size]]:
    """Open a file, check its header, and yield the image with the (height, width) in which it is shown."""
    with decoding(what), Image.open(path) as image:
        if image.width * image.height > dicom.MAX_PIXELS:
            raise DecodeError(f"it declares {image.height} x {image.width} pixels (height x width)")
        _check_values(image)
        size = (image.height, image.width)
        yield image, size[::-1] if _orientation(image) in _TURNED else size


def _orientation(image: Image.Image) -> int:
    """Return how EXIF says that an image is shown: 1, as it is stored, up to 8; also 1 if EXIF is damaged, as in viewers."""
    # an image keeps the first answer, and that of a PNG would decode the pixels
    probe = Image.new("1", (1, 1))
    probe.info = image.info
    try:
        with decoding("EXIF"):
            stated = probe.getexif().get(_ORIENTATION)
    except DecodeError:
        return 1
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


def _check_values(image: Image.Image) -> None:
    """Refuse a file that Pillow would decode to other values, without a word."""
    is_wide = image.mode in WIDE_MODES
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    # the decoder of a PNG is told how its pixels are stored
    has_more_bits = ";16" in str(getattr(image, "tile", ())[:1]) or max(tags.get(_BITS, (8,))) > 8
    if (has_more_bits and not is_wide) or (is_wide and "transparency" in image.info):
        raise DecodeError("it has colours or transparency in more than 8 bits, which would be lost: save it in grey")
    if image.mode in ("LAB", "La"):
        raise DecodeError(f"its mode is {image.mode} where grey or RGB is expected")
    if tags.get(_ORIENTATION, 1) != 1:
        raise DecodeError("it is a TIFF file that is turned or mirrored when it is shown: save it as it is shown")
    if is_wide and tags.get(_POLARITY) == 0:
        raise DecodeError("small values are bright in it, in more than 8 bits: save it with 0 as black")
    if not is_wide and 2 in tags.get(_SAMPLE_FORMAT, ()):
        raise DecodeError("its values are signed numbers of 8 bits: save it with unsigned ones")


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
