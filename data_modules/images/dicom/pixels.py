"""How the pixels of a DICOM file are stored, PS3.3 C.7.6.3, and their decoding."""

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_modules.images.decoding import DecodeError, decoding
from data_modules.images.dicom.elements import read_integer, read_required, read_text
from data_modules.images.dicom.jpeg import read_jpeg_2000_frame, read_jpeg_frame, without_metadata

if TYPE_CHECKING:
    import pydicom

GREY = ("MONOCHROME1", "MONOCHROME2")
# photometric interpretations that pydicom converts to RGB
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
# no radiograph has 2^28 pixels; a header with more is damaged
MAX_PIXELS = 2**28
# By default pydicom tries GDCM first for JPEG and JPEG 2000, which is slower and crashes the process on some damaged files.
# baseline, extended, lossless (two), JPEG-LS (two)
JPEG = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
LOSSLESS_JPEG = JPEG[2:4]
# and with high throughput
JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
_PLUGINS = {
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.51": "pillow",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
}
# each decoder that fails is logged with a traceback that names no file; the error is raised as well, and then names it
logging.getLogger("pydicom.pixels.decoders.base").addFilter(lambda record: not record.exc_info)


@dataclass(frozen=True)
class PixelFormat:
    """How the pixels of one frame are stored.

    Attributes:
        size: (height, width).
        photometric: One of `GREY` or `COLOUR`.
        bits_allocated: Bits that a pixel occupies.
        bits: Number of those bits that are used.
        is_signed: Whether pixels are two's complement numbers.
        padding: Smallest and largest stored value that marks pixels outside the exposure, or None.
    """

    size: tuple[int, int]
    photometric: str
    bits_allocated: int
    bits: int
    is_signed: bool
    padding: tuple[int, int] | None = None

    @property
    def is_colour(self) -> bool:
        """Whether a pixel has three samples."""
        return self.photometric in COLOUR

    @property
    def num_samples(self) -> int:
        """Samples per pixel."""
        return 3 if self.is_colour else 1

    @property
    def is_inverted(self) -> bool:
        """Whether small values are bright."""
        return self.photometric == "MONOCHROME1"

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value that the bits can hold."""
        if self.is_signed:
            return -(2.0 ** (self.bits - 1)), 2.0 ** (self.bits - 1) - 1
        return 0.0, 2.0**self.bits - 1


def read_format(dataset: "pydicom.Dataset") -> PixelFormat:
    """Read how the pixels are stored.

    Raises:
        DecodeError: If there are no pixels or several frames, or if elements are missing or contradict each other.
    """
    if "PixelData" not in dataset:
        raise DecodeError("it holds no pixels, or is cut off before their end")
    frames = read_integer(dataset, "NumberOfFrames") or 1
    if frames != 1:
        raise DecodeError(f"it holds {frames} frames where one two-dimensional frame is expected")
    size = read_required(dataset, "Rows"), read_required(dataset, "Columns")
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise DecodeError(f"it declares {size[0]} x {size[1]} pixels (height x width)")
    allocated = read_required(dataset, "BitsAllocated")
    bits = read_required(dataset, "BitsStored")
    if not 1 <= bits <= allocated:
        raise DecodeError(f"BitsStored is {bits} where 1 to {allocated} (BitsAllocated) is expected")
    representation = read_required(dataset, "PixelRepresentation")
    if representation not in (0, 1):
        raise DecodeError(f"PixelRepresentation is {representation} where 0 or 1 is expected")
    form = PixelFormat(size, _read_photometric(dataset), allocated, bits, representation == 1)
    return form if form.is_colour else replace(form, padding=_read_padding(dataset, form))


def decode(dataset: "pydicom.FileDataset", form: PixelFormat) -> NDArray[np.integer[Any]]:
    """Decode the pixels of one frame. Bits above `BitsStored`, where old files keep overlays, are cleared.

    Returns:
        Integers (height, width), or (height, width, 3) RGB.

    Raises:
        DecodeError: If they cannot be decoded completely, or contradict the header.
    """
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    syntax = UID(read_text(dataset.file_meta, "TransferSyntaxUID") or _guess_syntax(dataset))
    with decoding(f"the transfer syntax '{syntax}'"):
        decoder = get_decoder(syntax)
    high_bit = read_integer(dataset, "HighBit")
    if decoder.is_native and high_bit not in (None, form.bits - 1):
        raise DecodeError(f"HighBit is {high_bit} where {form.bits - 1} (BitsStored - 1) is expected")
    with decoding("PixelData"):
        element = dataset["PixelData"]
    data = _checked_stream(element.value, syntax, form) if syntax in (*JPEG, *JPEG_2000) else element.value
    options = _options(dataset, form)
    with decoding("PixelData"):
        plugin = _PLUGINS.get(syntax, "")
        pixels, _ = decoder.as_array(data, decoding_plugin=plugin, pixel_vr=element.VR, **options)
    return _checked(pixels, form)


def _options(dataset: "pydicom.Dataset", form: PixelFormat) -> dict[str, Any]:
    """Return the options that pydicom would otherwise read from the header without checks."""
    options = {
        "rows": form.size[0],
        "columns": form.size[1],
        "samples_per_pixel": form.num_samples,
        "photometric_interpretation": form.photometric,
        "bits_allocated": form.bits_allocated,
        "bits_stored": form.bits,
        "pixel_representation": int(form.is_signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    if form.is_colour:
        options["planar_configuration"] = read_required(dataset, "PlanarConfiguration")
    return options


def _checked_stream(data: bytes, syntax: str, form: PixelFormat) -> bytes:
    """Return encapsulated pixels for a decoder, and refuse a stream that is incomplete or contradicts the header.

    Decoders believe the size in the stream, and GDCM ends the process on broken and on unknown segments.
    """
    from pydicom.encaps import encapsulate, generate_frames

    with decoding("PixelData"):
        stream = next(generate_frames(data, number_of_frames=1))
    frame = read_jpeg_2000_frame(stream) if syntax in JPEG_2000 else read_jpeg_frame(stream)
    samples = form.num_samples
    if (frame.size, frame.num_samples) != (form.size, samples) or not 2 <= frame.precision <= form.bits_allocated:
        raise DecodeError(
            f"its JPEG stream has {frame.size[0]} x {frame.size[1]} pixels (height x width) of {frame.num_samples} x "
            f"{frame.precision} bits where the header has {form.size[0]} x {form.size[1]} of {samples} x {form.bits_allocated}"
        )
    return encapsulate([without_metadata(stream)]) if syntax in LOSSLESS_JPEG else data


def _checked(pixels: NDArray[np.integer[Any]], form: PixelFormat) -> NDArray[np.integer[Any]]:
    expected = (*form.size, 3) if form.is_colour else form.size
    if pixels.shape != expected:
        raise DecodeError(
            f"its pixels have the shape {pixels.shape} where one two-dimensional frame, {expected}, is expected"
        )
    low = int(pixels.min())
    high = int(pixels.max())
    if low < form.limits[0] or high > form.limits[1]:
        raise DecodeError(
            f"its pixels reach from {low} to {high}, beyond the {form.bits} bits that BitsStored declares"
        )
    return pixels


def _read_photometric(dataset: "pydicom.Dataset") -> str:
    name = read_text(dataset, "PhotometricInterpretation")
    samples = read_required(dataset, "SamplesPerPixel")
    if name not in (GREY if samples == 1 else COLOUR if samples == 3 else ()):
        raise DecodeError(
            f"PhotometricInterpretation is {name or 'missing'} with {samples} samples a pixel, where "
            f"{' or '.join(GREY)} with 1, or RGB or YBR with 3 is expected"
        )
    return str(name)


def _read_padding(dataset: "pydicom.Dataset", form: PixelFormat) -> tuple[int, int] | None:
    """Return the range of stored values, both ends included, that mark pixels outside the exposure, PS3.3 C.7.5.1.1.2."""
    value = read_integer(dataset, "PixelPaddingValue")
    limit = read_integer(dataset, "PixelPaddingRangeLimit")
    if value is None:
        if limit is not None:
            raise DecodeError("it has a PixelPaddingRangeLimit but no PixelPaddingValue")
        return None
    ends = [value, value if limit is None else limit]
    if form.bits <= 16:
        # many files declare signed 16 bit numbers as unsigned, or the other way round
        ends = [(end + 2**15) % 2**16 - 2**15 if form.is_signed else end % 2**16 for end in ends]
    return min(ends), max(ends)


def _guess_syntax(dataset: "pydicom.FileDataset") -> str:
    """Return the transfer syntax of a file that states none: uncompressed, in the encoding of its header."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    with decoding("PixelData"):
        is_compressed = dataset["PixelData"].is_undefined_length
    if is_compressed:
        raise DecodeError("TransferSyntaxUID is missing, and its pixels are compressed")
    is_implicit, is_little = dataset.original_encoding
    if is_implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian)
