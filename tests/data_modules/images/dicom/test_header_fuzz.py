"""Every element that the reader uses, missing, empty, of another type and of another count: right, or one error."""

import struct
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.tag import Tag

from data_modules.images.image_file import ImageReadError, read_identity, read_image, read_mask, read_size
from tests.data.dicom import table, write_dicom
from tests.refusal import attempt

# in several transfer syntaxes, byte orders and numbers of bits; pydicom ships them
FILES = (
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_jp2klossless.dcm",
    "JPEGLSNearLossless_16.dcm",
    "rtdose_1frame.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
)
REQUIRED = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation",
)  # fmt: skip
# what these files say with them is what holds without them
NEEDLESS = (
    "NumberOfFrames", "HighBit", "RescaleSlope", "RescaleIntercept", "VOILUTFunction", "PixelPaddingValue", "ModalityLUTSequence",
)  # fmt: skip
OTHERS = (
    "PlanarConfiguration", "PixelPaddingRangeLimit", "WindowCenter", "WindowWidth", "VOILUTSequence",
    "SharedFunctionalGroupsSequence",
)  # fmt: skip
EMPTY = ("US", b"")
# as in the file: whatever bytes it holds for an element, of whatever type it says that they are
VALUES = (
    EMPTY,
    ("LO", b"no number "),
    ("DS", b"1e300 "),
    ("DS", b"2\\3\\4 "),
    ("DS", b"\\2"),
    ("IS", b"-1"),
    ("IS", b"1.5 "),
    ("CS", b"\xff\xfe"),
    ("US", b"\0\0"),
    ("US", b"\1\0\2\0"),
    ("US", b"\xff\xff"),
    ("US", b"\1"),
    ("FD", np.float64(np.nan).tobytes()),
    ("UN", b"\1\2\3\4\5\6"),
    ("SQ", b"no item "),
    ("SQ", b"\xfe\xff\0\xe0\0\0\0\0"),  # an item without elements
)
LONG = ("OB", "OW", "SQ", "UN")  # whose lengths take four bytes
PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)
Element = tuple[str, bytes]
Images = list[np.ndarray] | None


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """pydicom warns of the very values that are written here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_all(path: Path) -> Images:
    """Read an image in both ranges; None if it is refused. Any other error, and any other kind of image, fails."""
    declared = attempt(read_declared, path)
    if declared is None:
        return None
    images = [declared[0], read_image(path)[0]]
    for image in images:
        assert image.dtype == np.float32
        assert image.shape == declared[1]
        assert np.isfinite(image).all()
        assert 0 <= image.min() <= image.max() <= 1
    return images


def read_declared(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    return read_image(path, grey_range="declared")


class Altered:
    """A sound file, and copies of it with one element altered, byte by byte: pydicom would not write them."""

    def __init__(self, path: Path, copy: Path) -> None:
        self.content, self.copy = path.read_bytes(), copy
        dataset = pydicom.dcmread(path)
        self.is_implicit, is_little = dataset.original_encoding
        self.order = "<" if is_little else ">"
        # where each element begins, with its tag, and where its value ends
        self.places = []
        for tag in sorted(tag for tag in dataset.keys() if tag.group >= 0x28):  # noqa: SIM118
            element = dataset.get_item(tag)
            header = 12 if element.VR in LONG and not self.is_implicit else 8
            self.places.append((tag, element.value_tell - header, element.value_tell + element.length))
        sound = read_all(path)
        assert sound is not None
        self.sound = sound

    def read(self, keyword: str, element: Element | None) -> Images:
        """Read a copy in which an element has another value, or is missing."""
        self.write(keyword, element)
        return read_all(self.copy)

    def write(self, keyword: str, element: Element | None) -> None:
        tag = Tag(keyword)
        start = next(start for other, start, _ in self.places if other >= tag)
        end = next((end for other, _, end in self.places if other == tag), start)
        changed = b"" if element is None else self.encode(keyword, element)
        self.copy.write_bytes(self.content[:start] + changed + self.content[end:])

    def agrees(self, keyword: str, element: Element | None) -> bool:
        """Return whether such a copy is read, and as the file itself."""
        found = self.read(keyword, element)
        return found is not None and all(map(np.array_equal, found, self.sound))

    def encode(self, keyword: str, element: Element) -> bytes:
        (vr, value), tag = element, Tag(keyword)
        numbers = struct.pack(f"{self.order}HH", tag.group, tag.element)
        if self.is_implicit:
            return numbers + struct.pack("<I", len(value)) + value
        length = f"{self.order}xxI" if vr in LONG else f"{self.order}H"
        return numbers + vr.encode() + struct.pack(length, len(value)) + value


@pytest.mark.parametrize("name", FILES)
def test_elements_of_public_files(name: str, tmp_path: Path) -> None:
    file = Altered(Path(str(get_testdata_file(name, download=False))), tmp_path / "a.dcm")
    for keyword in REQUIRED:
        assert file.read(keyword, None) is None
        assert file.read(keyword, EMPTY) is None
    for keyword in NEEDLESS:
        assert file.agrees(keyword, None)
        assert file.agrees(keyword, EMPTY)
    # every second one, and the others in the next file
    altered = list(product((*REQUIRED, *NEEDLESS, *OTHERS), VALUES))
    for keyword, element in altered[FILES.index(name) % 2 :: 2]:
        file.read(keyword, element)  # right or refused, which `read_all` holds


@pytest.mark.parametrize("read", [read_mask, read_size, read_identity])
def test_elements_of_masks_and_sizes(read: Callable[[Path], object], tmp_path: Path) -> None:
    file = Altered(write_dicom(tmp_path / "sound.dcm", PIXELS % 2, 16), tmp_path / "a.dcm")
    assert attempt(read, tmp_path / "sound.dcm") is not None
    assert attempt(read, tmp_path / "a.dcm") is None  # no file yet
    for keyword in ("Rows", "SamplesPerPixel", "BitsStored", "PhotometricInterpretation", "NumberOfFrames"):
        for element in (None, *VALUES):
            file.write(keyword, element)
            attempt(read, tmp_path / "a.dcm")


@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
def test_elements_of_look_up_tables(sequence: str, tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "sound.dcm", PIXELS, 16)
    file, sound = (
        Altered(path, tmp_path / "a.dcm"),
        {"LUTDescriptor": b"\x30\0\0\0\x08\0", "LUTData": bytes(range(0, 192, 2))},
    )
    tags = {sequence: table(0, np.frombuffer(sound["LUTData"], "<u2"), 8)}
    whole = read_all(write_dicom(path, PIXELS, 16, **tags))

    def read(**elements: Element | None) -> Images:
        found = {name: ("US", value) for name, value in sound.items()} | elements
        content = b"".join(file.encode(name, element) for name, element in found.items() if element is not None)
        return file.read(sequence, ("SQ", b"\xfe\xff\0\xe0" + struct.pack("<I", len(content)) + content))

    assert np.array_equal(read(), whole)  # type: ignore[arg-type]
    for name in sound:
        assert read(**{name: None}) is None
        for element in VALUES:
            assert read(**{name: element}) is None
    for numbers in ([48, 0, 0], [49, 0, 8], [48, 0, 17]):
        assert read(LUTDescriptor=("US", struct.pack("<3H", *numbers))) is None
    assert all(map(np.array_equal, read(LUTDescriptor=None, LUTData=None) or [], file.sound))


@pytest.mark.parametrize("element", [None, *VALUES])
def test_pixels_that_are_none(element: Element | None, tmp_path: Path) -> None:
    file = Altered(write_dicom(tmp_path / "sound.dcm", PIXELS, 16), tmp_path / "a.dcm")
    assert file.read("PixelData", element) is None


def test_a_file_without_transfer_syntax_is_read_in_the_encoding_of_its_header(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", PIXELS, 16)
    expected, _ = read_image(path)
    dataset = pydicom.dcmread(path)
    del dataset.file_meta.TransferSyntaxUID
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    np.testing.assert_array_equal(read_image(path)[0], expected)
    dataset.file_meta.TransferSyntaxUID = "1.2.3"
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    with pytest.raises(ImageReadError, match=r"transfer syntax '1\.2\.3'"):
        read_image(path)


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_RLE.dcm", "image_dfl.dcm", "SC_rgb_small_odd_jpeg.dcm"])
def test_a_file_that_is_cut_off_or_damaged_anywhere(name: str, tmp_path: Path) -> None:
    whole = Path(str(get_testdata_file(name, download=False))).read_bytes()
    path, rng = tmp_path / "a.dcm", np.random.default_rng(0)
    for _ in range(15):
        path.write_bytes(whole[: rng.integers(len(whole))])
        read_all(path)
        damaged = bytearray(whole)
        for position in rng.integers(min(3000, len(whole)), size=4):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        read_all(path)
