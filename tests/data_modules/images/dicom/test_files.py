"""DICOM files are known by their content, whatever their names."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from data_modules.images.decoding import DecodeError
from data_modules.images.dicom import is_dicom, list_dicom
from data_modules.images.dicom.jpeg import JpegFrame, read_jpeg_2000_frame, read_jpeg_frame, without_metadata
from data_modules.images.image_file import ImageReadError, read_identity, read_image, read_mask, read_size
from tests.data.dicom import write_dicom

FRAME = b"\xff\xc3\0\x0b\x10\x04\0\x01\0\x01\x01\x11\0"
TABLE, SCAN = b"\xff\xc4\0\x03\0", b"\xff\xda\0\x02"
PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    return write_dicom(tmp_path / "sound", PIXELS, 12)


@pytest.mark.parametrize("name", ["a.dcm", "IM000001", "1.2.840.113619.2", "a.IMA", "a.DICOM", "a.png", "a.txt"])
def test_a_sound_file_is_read_whatever_its_name(name: str, dicom: Path, tmp_path: Path) -> None:
    path = dicom.rename(tmp_path / name)
    assert is_dicom(path)
    np.testing.assert_allclose(read_image(path)[0], PIXELS / np.float32(47))
    assert read_size(path) == (6, 8)
    assert read_identity(path) == ((6, 8), "2.25.1")
    np.testing.assert_array_equal(read_mask(write_dicom(path, PIXELS % 2, 12)), PIXELS % 2 == 1)


def test_a_picture_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    Image.fromarray(PIXELS.astype(np.uint8)).save(path, "PNG")
    assert not is_dicom(path)
    np.testing.assert_allclose(read_image(path)[0], PIXELS / np.float32(255))
    assert read_identity(path) == ((6, 8), str(path))


@pytest.mark.parametrize(("is_implicit", "is_little"), [(True, True), (False, True), (False, False)])
def test_a_file_without_a_preamble_is_known_by_its_first_element(
    is_implicit: bool, is_little: bool, dicom: Path, tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(dicom)
    if not is_little:
        dataset["PixelData"].value = PIXELS.byteswap().tobytes()
    bare = pydicom.Dataset({element.tag: element for element in dataset})
    content = BytesIO()
    bare.save_as(content, implicit_vr=is_implicit, little_endian=is_little)
    path = tmp_path / "bare"
    path.write_bytes(content.getvalue())
    assert is_dicom(path)
    np.testing.assert_allclose(read_image(path)[0], PIXELS / np.float32(47))


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "TGA", "PPM"])
def test_pictures_are_not_taken_for_files_without_a_preamble(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a", suffix)
    assert not is_dicom(tmp_path / "a")


def test_what_cannot_be_read_is_not_dicom(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("08 00")
    for name in ("empty", "text", "none", "."):
        assert not is_dicom(tmp_path / name)
        for read in (read_image, read_mask, read_size):
            with pytest.raises(ImageReadError, match="Expected a complete"):
                read(tmp_path / name)


def test_folders_are_searched_by_content_and_name(dicom: Path, tmp_path: Path) -> None:
    content = dicom.read_bytes()
    for name in ("b/IM1", "b/c/1.2.3", "x.IMA", "DICOMDIR"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "damaged.dcm").write_bytes(b"cut off")
    (tmp_path / "LICENSE").write_text("text")
    found = [path.relative_to(tmp_path).as_posix() for path in list_dicom(tmp_path)]
    assert found == ["b/IM1", "b/c/1.2.3", "damaged.dcm", "sound", "x.IMA"]


# GDCM, which decodes JPEG-LS and lossless JPEG, would end the process on any of these


def test_a_jpeg_stream_of_another_size_than_the_header_never_reaches_the_decoder(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file("JPEGLSNearLossless_16.dcm", download=False)))
    assert (dataset.Rows, dataset.Columns) == (50, 10)
    dataset.Rows = 5000
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(ImageReadError, match=r"stream has 50 x 10 pixels .* where the header has 5000 x 10"):
        read_image(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (FRAME + TABLE + SCAN, ""),
        (b"\xff" + FRAME + TABLE + SCAN, ""),  # a marker may be filled up
        (FRAME + SCAN, "no Huffman table"),
        (TABLE + SCAN, "no frame header"),
        (FRAME + FRAME.replace(b"\xc3", b"\xc0") + TABLE + SCAN, "no frame header"),
        (FRAME + b"\0" + TABLE + SCAN, "broken at byte 15"),
        (FRAME + TABLE, "broken at byte 20"),
        (FRAME.replace(b"\x0b", b"\0"), "broken at byte 2"),
        *(
            (FRAME + b"\xff" + marker + b"\0\2" + TABLE + SCAN, "broken at byte 15")
            for marker in (b"\0", b"\xbf", b"\xd0", b"\xd9")
        ),
    ],
)
def test_a_jpeg_stream_is_complete_before_its_scan(stream: bytes, words: str) -> None:
    if not words:
        assert read_jpeg_frame(b"\xff\xd8" + stream) == JpegFrame(16, (1024, 256), 1)
        return
    with pytest.raises(DecodeError, match=words):
        read_jpeg_frame(b"\xff\xd8" + stream)


METADATA = (b"\xff\xe0\0\x10JFIF\0\x34\1\0\0\1\0\1\0\0", b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\x07", b"\xff\xfe\0\4no")


@pytest.mark.parametrize("metadata", METADATA)
def test_metadata_that_a_decoder_does_not_know_never_reach_it(metadata: bytes, tmp_path: Path) -> None:
    bare = b"\xff\xd8" + FRAME + TABLE + SCAN + b"\1\2\xff\xd9"
    assert without_metadata(b"\xff\xd8" + metadata + b"\xff" + bare[2:]) == bare
    dataset = pydicom.dcmread(str(get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)))
    assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.JPEGLosslessSV1
    dataset.save_as(tmp_path / "a.dcm")
    expected, _ = read_image(tmp_path / "a.dcm")
    np.testing.assert_allclose(expected, dataset.pixel_array.mean(axis=-1) / 255, atol=1e-6)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([stream[:2] + metadata + stream[2:]])
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm")[0], expected)


def test_a_jpeg_2000_stream_of_another_size_than_the_header_is_not_decoded(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file("MR_small_jp2klossless.dcm", download=False)))
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    assert read_jpeg_2000_frame(b"box" + stream) == JpegFrame(16, (64, 64), 1)
    # 64 rows begin after as many empty ones, then there are 2^31
    for rows, first, words in ((128, 64, ""), (2**31, 0, r"stream has 2147483648 x 64 pixels .* header has 64 x 64")):
        changed = bytearray(stream)
        changed[12:16] = rows.to_bytes(4, "big")
        changed[20:24] = first.to_bytes(4, "big")
        if not words:
            assert read_jpeg_2000_frame(bytes(changed)).size == (64, 64)
            continue
        dataset.PixelData = encapsulate([bytes(changed)])
        dataset.save_as(tmp_path / "a.dcm")
        with pytest.raises(ImageReadError, match=words):
            read_image(tmp_path / "a.dcm")
    for damaged in (b"", b"\xff\x4f" + stream[3:], stream[:42]):
        with pytest.raises(DecodeError, match="JPEG 2000 stream has no size"):
            read_jpeg_2000_frame(damaged)
