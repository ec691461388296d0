"""The frame header of a JPEG, JPEG-LS or JPEG 2000 stream, which a DICOM header may contradict."""

from collections.abc import Iterator
from dataclasses import dataclass

from data_modules.images.decoding import DecodeError

# start-of-frame markers: JPEG (ITU-T T.81, table B.1), without the three others in their range; JPEG-LS (T.87)
_STARTS_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_HUFFMAN_TABLE = 0xC4
_START_OF_SCAN = 0xDA
_FILL = 0xFF
_JPEG_LS = 0xF7
# application data and comments, which tell nothing about the pixels of a DICOM file
_METADATA = {*range(0xE0, 0xF0), 0xFE}
# markers without a segment, and reserved ones: none of them precedes a scan
_MISPLACED = {*range(0x00, 0xC0), *range(0xD0, 0xDA)}
# the markers that begin a JPEG 2000 codestream and its size (ITU-T T.800, A.4.1 and A.5.1)
_CODESTREAM = b"\xff\x4f\xff\x51"


@dataclass(frozen=True)
class JpegFrame:
    """The frame header of a stream.

    Attributes:
        precision: Bits per sample.
        size: (height, width).
        num_samples: Samples per pixel.
    """

    precision: int
    size: tuple[int, int]
    num_samples: int


def read_jpeg_frame(stream: bytes) -> JpegFrame:
    """Read the frame header of JPEG or JPEG-LS, and check that everything a decoder needs precedes the first scan.

    Raises:
        DecodeError: If segments are broken or missing.
    """
    segments = {marker: stream[start + 4 : end] for marker, start, end in _segments(stream)}
    frames = [marker for marker in segments if marker in _STARTS_OF_FRAME]
    if len(frames) != 1 or len(segments[frames[0]]) < 6:
        raise DecodeError("its JPEG stream has no frame header")
    if frames[0] != _JPEG_LS and _HUFFMAN_TABLE not in segments:
        raise DecodeError("its JPEG stream has no Huffman table")
    header = segments[frames[0]]
    # precision, height, width, components (T.81, B.2.2)
    return JpegFrame(header[0], (_word(header, 1), _word(header, 3)), header[5])


def without_metadata(stream: bytes) -> bytes:
    """Return a JPEG stream without application data, comments and fill bytes; GDCM ends the process where it doubts one.

    Raises:
        DecodeError: If segments are broken.
    """
    kept = [(start, end) for marker, start, end in _segments(stream) if marker not in _METADATA]
    end_of_header = kept[-1][1]
    return stream[:2] + b"".join(stream[start:end] for start, end in kept) + stream[end_of_header:]


def read_jpeg_2000_frame(stream: bytes) -> JpegFrame:
    """Read the size that a JPEG 2000 codestream begins with, which may lie in boxes of a JP2 file.

    Raises:
        DecodeError: If there is none.
    """
    start = stream.find(_CODESTREAM)
    # the markers, the length, the capabilities; two corners of the image and of a tile, four bytes a number; components
    size = stream[start + 8 : start + 43]
    if start < 0 or len(size) < 35:
        raise DecodeError("its JPEG 2000 stream has no size")
    right, lower, left, upper = (int.from_bytes(size[i : i + 4], "big") for i in (0, 4, 8, 12))
    # seven bits hold the precision less one, the eighth the sign
    return JpegFrame((size[34] & 127) + 1, (lower - upper, right - left), _word(size, 32))


def _segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of each segment up to the header of the first scan, which is included."""
    marker = 0
    position = 2  # skip the marker that starts the image
    while marker != _START_OF_SCAN:
        found = stream[position + 1 : position + 2]
        length = _word(stream, position + 2)
        marker = found[0] if found and stream[position] == _FILL else 0
        if marker in _MISPLACED or (marker != _FILL and length < 2):
            raise DecodeError(f"its JPEG stream is broken at byte {position}")
        # any number of fill bytes may precede a marker (T.81, B.1.1.2)
        if marker == _FILL:
            position += 1
            continue
        # the length counts its own two bytes
        yield marker, position, position + 2 + length
        position += 2 + length


def _word(stream: bytes, position: int) -> int:
    return int.from_bytes(stream[position : position + 2], "big")
