"""What a JPEG or JPEG-LS stream says of itself, which a DICOM header may contradict."""

from dataclasses import dataclass

from data_modules.decoding import DecodeError

# of JPEG (ITU-T T.81, table B.1), without DHT, JPG and DAC, which lie between them; of JPEG-LS (T.87)
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _FILL = 0xDA, 0xFF


@dataclass(frozen=True)
class JpegFrame:
    """The frame header of a stream.

    Attributes:
        precision: Bits of a sample.
        size: (height, width).
        num_samples: Samples of a pixel.
    """

    precision: int
    size: tuple[int, int]
    num_samples: int


def read_jpeg_frame(stream: bytes) -> JpegFrame:
    """Read the frame header.

    Raises:
        DecodeError: If there is none before the first scan.
    """
    position = 2  # after the start of the image
    while stream[position : position + 1] == b"\xff":
        marker = stream[position + 1]
        if marker == _FILL:
            position += 1
            continue
        segment = stream[position + 4 : position + 10]
        if marker in _START_OF_FRAME and len(segment) == 6:
            return JpegFrame(segment[0], (_word(segment, 1), _word(segment, 3)), segment[5])
        if marker == _START_OF_SCAN:
            break
        position += 2 + max(2, _word(stream, position + 2))
    raise DecodeError("its JPEG stream has no frame header")


def _word(stream: bytes, position: int) -> int:
    return int.from_bytes(stream[position : position + 2], "big")
