"""The frame header of a JPEG or JPEG-LS stream, which a DICOM header may contradict."""

from dataclasses import dataclass

from data_modules.images.decoding import DecodeError

# start-of-frame markers: JPEG (ITU-T T.81, table B.1), without the three others in their range; JPEG-LS (T.87)
_STARTS_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_HUFFMAN_TABLE = 0xC4
_START_OF_SCAN = 0xDA
_FILL = 0xFF
_JPEG_LS = 0xF7


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
    """Read the frame header, and check that everything a decoder needs precedes the first scan.

    Raises:
        DecodeError: If segments are broken or missing.
    """
    segments: dict[int, bytes] = {}
    position = 2  # skip the marker that starts the image
    while _START_OF_SCAN not in segments:
        marker = stream[position + 1 : position + 2]
        length = _word(stream, position + 2)
        if stream[position : position + 1] != b"\xff" or not marker or (marker[0] != _FILL and length < 2):
            raise DecodeError(f"its JPEG stream is broken at byte {position}")
        # any number of fill bytes may precede a marker (T.81, B.1.1.2)
        if marker[0] == _FILL:
            position += 1
            continue
        # the length counts its own two bytes
        segments[marker[0]] = stream[position + 4 : position + 2 + length]
        position += 2 + length
    frames = [marker for marker in segments if marker in _STARTS_OF_FRAME]
    if len(frames) != 1 or len(segments[frames[0]]) < 6:
        raise DecodeError("its JPEG stream has no frame header")
    if frames[0] != _JPEG_LS and _HUFFMAN_TABLE not in segments:
        raise DecodeError("its JPEG stream has no Huffman table")
    header = segments[frames[0]]
    # precision, height, width, components (T.81, B.2.2)
    return JpegFrame(header[0], (_word(header, 1), _word(header, 3)), header[5])


def _word(stream: bytes, position: int) -> int:
    return int.from_bytes(stream[position : position + 2], "big")
