import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image

from data_modules.images.image_file import (
    ImageReadError,
    _grey,
    read_dicom_pixels,
    read_image,
    read_mask,
    read_size,
    rescale,
    used_range,
)
from tests.data.dicom import write_dicom
from tests.real import real_data
from tests.refusal import attempt

GRADIENT = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))


def test_jpeg_png_and_16_bit_png_read_alike(tmp_path: Path) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / "a.png")
    Image.fromarray(GRADIENT).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(GRADIENT.astype(np.uint16) * 257).save(tmp_path / "b.png")
    for name in ("a.png", "a.jpg", "b.png"):
        image, frame = read_image(tmp_path / name)
        assert frame == (48, 64)
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, GRADIENT / 255, atol=0.02)


def test_every_level_of_8_bits_is_that_level_over_255(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    expected = [np.float32(level) / np.float32(255) for level in range(256)]
    assert read_image(tmp_path / "a.png")[0].ravel().tolist() == [float(value) for value in expected]


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_the_used_range_is_the_share_of_the_scale_between_the_extremes(tmp_path: Path, dtype: type, full: int) -> None:
    Image.fromarray(np.array([[16, 64], [100, 255]], dtype)).save(tmp_path / "a.png")
    assert used_range(tmp_path / "a.png") == pytest.approx((16 / full, 255 / full))
    write_dicom(tmp_path / "a.dcm", np.array([[64, 1023]], np.uint16), 12)
    assert used_range(tmp_path / "a.dcm") == pytest.approx((64 / 4095, 1023 / 4095))
    with pytest.raises(ImageReadError, match=r"none\.png"):
        used_range(tmp_path / "none.png")


def test_16_bit_files_are_read_between_their_extremes_or_on_their_full_scale(tmp_path: Path) -> None:
    twelve_bits = GRADIENT.astype(np.uint16) * 16 + 31
    Image.fromarray(twelve_bits).save(tmp_path / "a.png")
    path = write_dicom(tmp_path / "a.dcm", twelve_bits, 16)
    for file in (tmp_path / "a.png", path):
        observed, declared = read_image(file)[0], read_image(file, grey_range="declared")[0]
        np.testing.assert_allclose(observed, (twelve_bits - 31) / (252 * 16), atol=1e-6)
        np.testing.assert_allclose(declared, twelve_bits / 65535, atol=1e-6)
    assert used_range(tmp_path / "a.png") == pytest.approx((31 / 65535, 4063 / 65535))


@pytest.mark.parametrize("mode", ["1", "L", "P", "PA", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"])
def test_pictures_of_every_mode_are_read(mode: str, tmp_path: Path) -> None:
    levels = np.array([[0, 255], [255, 0]], np.uint8).repeat(16, 0).repeat(16, 1)
    image = Image.fromarray(levels).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(levels.astype(np.uint16) * 257)
    if mode == "PA":  # no format keeps it
        np.testing.assert_array_equal(_grey(image, "observed"), levels / 255)
        return
    image.save(tmp_path / "a.tif")
    found, size = read_image(tmp_path / "a.tif")
    assert size == (32, 32)
    np.testing.assert_allclose(found, levels / 255, atol=0.01)


def test_pictures_of_several_frames_or_without_a_scale_are_refused(tmp_path: Path) -> None:
    frame = Image.fromarray(GRADIENT)
    frame.save(tmp_path / "a.tif", save_all=True, append_images=[frame.rotate(90)])
    Image.fromarray(GRADIENT.astype(np.int32) * 1000).save(tmp_path / "b.tif")
    Image.fromarray(np.array([[0, np.nan]], np.float32)).save(tmp_path / "c.tif")
    for name, words in (("a", "2 frames where one"), ("b", "from 0 to 252000 where 0 to 65535"), ("c", "nan")):
        with pytest.raises(ImageReadError, match=rf"{name}\.tif' cannot be read: .*{words}"):
            read_image(tmp_path / f"{name}.tif")
    with pytest.raises(ImageReadError, match="2 frames where one"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photograph_with_a_second_picture_behind_it_is_the_first(orientation: int, tmp_path: Path) -> None:
    """As phones write them, such as with a map of brightness."""
    exif = Image.Exif()
    exif[0x112] = orientation
    frame = Image.fromarray(GRADIENT)
    frame.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[frame.resize((16, 12))], quality=100, exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, getattr(image, "n_frames", 1)) == ("MPO", 2)
    found, size = read_image(tmp_path / "a.jpg")
    expected = GRADIENT / 255 if orientation == 1 else np.rot90(GRADIENT / 255, -1)
    assert size == read_size(tmp_path / "a.jpg") == expected.shape
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.filterwarnings("ignore:(Corrupt EXIF data|Tag data larger than file|Truncated File Read)")
@pytest.mark.parametrize(
    ("suffix", "mode"), [("png", "L"), ("png", "I;16"), ("jpg", "RGB"), ("tif", "L"), ("gif", "L")]
)
def test_damaged_pictures_are_read_or_refused(suffix: str, mode: str, tmp_path: Path) -> None:
    path, rng = tmp_path / f"a.{suffix}", np.random.default_rng(0)
    picture = Image.fromarray(GRADIENT.astype(np.uint16) if mode == "I;16" else GRADIENT)
    (picture if mode == "I;16" else picture.convert(mode)).save(path)
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole[: rng.integers(8, len(whole))])
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        for read in (read_image, read_mask, read_size):
            attempt(read, path)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_picture_is_read_as_exif_says_that_it_is_shown(suffix: str, mask: bool, tmp_path: Path) -> None:
    # what becomes of rows and columns, EXIF 2.3, table 6
    shown: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose, 6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).T, 8: np.rot90, 0: np.asarray, 1: np.asarray, 9: np.asarray,
    }  # fmt: skip
    stored = np.kron(np.eye(3, 5, 1, np.uint8) * 255, np.ones((8, 8), np.uint8))
    path = tmp_path / f"a.{suffix}"
    for orientation, show in shown.items():
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(stored).save(path, exif=exif)
        found, expected = read_mask(path) if mask else read_image(path)[0], show(stored)
        np.testing.assert_allclose(found, expected > 0 if mask else expected / 255, atol=0.02)
        assert read_size(path) == read_image(path)[1] == expected.shape


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0none", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_damaged_exif_does_not_turn_a_picture(exif: bytes, tmp_path: Path) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / "a.jpg", exif=exif, quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[0], GRADIENT / 255, atol=0.02)


def png(depth: int, kind: int, rows: np.ndarray, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a PNG file that Pillow would not write; rows are in big-endian order."""
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], depth, kind, 0, 0, 0)
    middle = chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + after
    return b"\x89PNG\r\n\x1a\n" + middle + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


WIDE = np.arange(48, dtype=np.uint16).reshape(6, 8) * 80
TURNED = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
COLOURS = "colours or transparency in more than 8 bits"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (png(16, 0, WIDE.astype(">u2")), ""),
        (png(16, 2, np.stack([WIDE] * 3, -1).astype(">u2")), COLOURS),
        (png(16, 4, np.stack([WIDE, WIDE | 65535], -1).astype(">u2")), COLOURS),
        (png(16, 0, WIDE.astype(">u2"), before=chunk(b"tRNS", b"\0\x50")), COLOURS),
        (png(8, 0, WIDE.astype(np.uint8), after=TURNED), "only behind its pixels how it is turned"),
    ],
)
def test_a_png_that_pillow_would_change_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    if not words:
        np.testing.assert_allclose(read_image(tmp_path / "a.png")[0], WIDE / WIDE.max(), atol=1e-6)
        return
    for read in (read_image, read_mask):
        with pytest.raises(ImageReadError, match=words):
            read(tmp_path / "a.png")


def tiff(pixels: np.ndarray, order: Literal["<", ">"] = "<", channels: int = 1, **tags: int) -> bytes:
    """Return an uncompressed TIFF file of one strip; `tags` are numbers by `t<number>`."""
    count = 8 * pixels.itemsize
    known = {
        256: WIDE.shape[1],
        257: WIDE.shape[0],
        258: count,
        259: 1,
        262: 1,
        273: 200,
        277: channels,
        278: 6,
        279: pixels.nbytes,
    }
    known |= {int(name[1:]): value for name, value in tags.items()}
    entries = b""
    for tag, value in sorted(known.items()):
        # the bits of three channels take six bytes, which lie behind the tags
        many = tag == 258 and channels == 3
        content = struct.pack(f"{order}I", 190) if many else struct.pack(f"{order}HH", value, 0)
        entries += struct.pack(f"{order}HHI", tag, 3, 3 if many else 1) + content
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(known))
    header = (start + entries).ljust(190, b"\0") + struct.pack(f"{order}3H", *[count] * 3)
    return header.ljust(200, b"\0") + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(WIDE), ""),
        (tiff(WIDE, ">"), ""),
        (tiff(WIDE, t262=0), "small values are bright"),
        (tiff(WIDE, t274=6), "turned or mirrored when it is shown"),
        (tiff(np.stack([WIDE] * 3, -1), ">", 3, t262=2), COLOURS),
        (tiff(np.stack([WIDE] * 3), "<", 3, t262=2, t284=2), COLOURS),
        (tiff(WIDE.astype(np.int8), t339=2), "signed numbers of 8 bits"),
    ],
)
def test_a_tiff_that_pillow_would_change_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    if not words:
        np.testing.assert_allclose(read_image(tmp_path / "a.tif")[0], WIDE / WIDE.max(), atol=1e-6)
        return
    for read in (read_image, read_mask):
        with pytest.raises(ImageReadError, match=words):
            read(tmp_path / "a.tif")


def test_a_picture_of_another_colour_space_or_of_absurd_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("LAB", (4, 4)).save(tmp_path / "lab.tif")
    for read in (read_image, read_mask):
        with pytest.raises(ImageReadError, match="its mode is LAB where grey or RGB is expected"):
            read(tmp_path / "lab.tif")
    Image.fromarray(GRADIENT).save(tmp_path / "a.png")
    monkeypatch.setattr("data_modules.images.dicom.MAX_PIXELS", GRADIENT.size - 1)
    for open_file in (read_image, read_mask, read_size):
        with pytest.raises(ImageReadError, match="declares 48 x 64 pixels"):
            open_file(tmp_path / "a.png")


def test_a_lack_of_memory_is_not_taken_for_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise MemoryError

    Image.fromarray(GRADIENT).save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png")


def test_transparency_is_put_on_black(tmp_path: Path) -> None:
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[:2, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image, _ = read_image(tmp_path / "a.png")
    assert image[:2].max() == 0
    assert image[2:].min() == 1


def test_reduced_decoding_keeps_the_original_frame_and_enough_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.kron(GRADIENT, np.ones((10, 10), np.uint8))).save(tmp_path / "big.jpg", quality=95)
    image, frame = read_image(tmp_path / "big.jpg", min_side=64)
    assert frame == (480, 640)
    assert 64 <= min(image.shape) < 240


def test_a_truncated_jpeg_is_an_error_not_a_grey_tail(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ImageReadError, match=r"a\.jpg"):
        read_image(path)
    with pytest.raises(ImageReadError, match="does not exist"):
        read_image(tmp_path / "none.jpg")


@pytest.mark.parametrize("values", [(0, 1), (0, 2), (0, 255), (3, 252)])
def test_masks_of_any_two_levels_are_read(values: tuple[int, int], tmp_path: Path) -> None:
    inside = np.zeros((8, 8), bool)
    inside[2:5, 3:6] = True
    Image.fromarray(np.where(inside, values[1], values[0]).astype(np.uint8)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), inside)


def test_an_empty_mask_is_empty(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "m.png")
    assert not read_mask(tmp_path / "m.png").any()


def test_rescaling_clips_at_both_ends_and_keeps_constant_images() -> None:
    values = np.arange(101, dtype=np.float32)
    scaled = rescale(values, 10, 90)
    assert scaled[10] == 0
    assert scaled[90] == 1
    assert scaled[50] == pytest.approx(0.5)
    assert rescale(np.full((2, 2), 7.0, np.float32), 7.0, 7.0).max() == 0


@pytest.mark.parametrize(
    ("pixels", "bits", "tags", "expected"),
    [
        (np.array([[1000, 3000]], np.uint16), 12, {}, [1000 / 4095, 3000 / 4095]),
        (
            np.array([[1000, 3000]], np.uint16),
            12,
            {"PhotometricInterpretation": "MONOCHROME1"},
            [3095 / 4095, 1095 / 4095],
        ),
        (np.array([[-1000, 1000]], np.int16), 12, {}, [1048 / 4095, 3048 / 4095]),
        (
            np.array([[1000, 3000]], np.uint16),
            12,
            {"RescaleSlope": -1, "RescaleIntercept": 4095},
            [3095 / 4095, 1095 / 4095],
        ),
        # PS3.3 C.11.2.1.2.1: (x - (c - 0.5)) / (w - 1) + 0.5 of the range, and both ends clipped
        (
            np.array([[1000, 3000]], np.uint16),
            12,
            {"WindowCenter": 2000, "WindowWidth": 4001},
            [1000.5 / 4000, 3000.5 / 4000],
        ),
        (np.array([[1000, 3000]], np.uint16), 12, {"WindowCenter": 2000, "WindowWidth": 10}, [0, 1]),
    ],
)
def test_the_declared_range_of_a_dicom_file_does_not_depend_on_its_content(
    tmp_path: Path, pixels: np.ndarray, bits: int, tags: dict[str, object], expected: list[float]
) -> None:
    path = write_dicom(tmp_path / "a.dcm", pixels, bits, **tags)
    np.testing.assert_allclose(read_image(path, grey_range="declared")[0], [expected], atol=1e-6)
    assert set(read_image(path, grey_range="observed")[0].ravel().tolist()) == {0.0, 1.0}


def test_real_dicom_files_read_as_listed() -> None:
    folder = real_data("dicom_samples")
    listed = pd.read_csv(folder / "index.csv")
    decodes = (listed["decodes"] == "yes").to_numpy()
    assert (len(listed), decodes.sum()) == (20, 16)
    for row in listed[decodes].to_dict("records"):
        if row["frames"] > 1:  # no radiograph
            for read in (read_image, read_mask, read_dicom_pixels):
                with pytest.raises(ImageReadError, match="10 frames where one two-dimensional frame"):
                    read(folder / row["file"])
            continue
        pixels = read_dicom_pixels(folder / row["file"])
        assert str(pixels.shape) == row["shape"]
        # decoders of lossy JPEG differ by one grey level
        assert (pixels.min(), pixels.max()) == pytest.approx((row["min"], row["max"]), abs=row["bits_stored"] == 8)
        image, frame = read_image(folder / row["file"])
        assert image.shape == frame == read_size(folder / row["file"]) == pixels.shape[:2]
        assert 0 <= image.min() < image.max() <= 1


def test_real_dicom_files_that_cannot_be_read_are_named() -> None:
    folder = real_data("dicom_samples")
    listed = pd.read_csv(folder / "index.csv")
    names = listed.loc[listed["decodes"] != "yes", "file"].tolist()
    assert len(names) == 4
    for name in names:
        with pytest.raises(ImageReadError, match=name):
            read_image(folder / name)


def test_monochrome1_is_inverted() -> None:
    folder = real_data("dicom_samples")
    plain, _ = read_image(folder / "rsna_cxr_pa_850819.dcm")
    tagged, _ = read_image(folder / "Fake_MONOHR1.dcm")
    np.testing.assert_allclose(tagged, 1 - plain, atol=1e-5)


def test_a_real_mask_with_levels_0_and_2_is_not_empty() -> None:
    assert read_mask(real_data("cbis_ddsm_sample") / "Mass-Training_P_00001_LEFT_CC_MASK.png").any()


def test_run_length_encoded_dicom_files_are_read(tmp_path: Path) -> None:
    pixels = np.kron(np.arange(12, dtype=np.uint16).reshape(3, 4) * 300, np.ones((5, 5), np.uint16))
    path = write_dicom(tmp_path / "a.dcm", pixels, 12)
    expected, _ = read_image(path)
    dataset = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "b.dcm")
    assert pydicom.dcmread(tmp_path / "b.dcm").file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
    np.testing.assert_array_equal(read_image(tmp_path / "b.dcm")[0], expected)
    np.testing.assert_array_equal(expected, pixels / np.float32(3300))


def test_the_size_of_an_image_is_in_its_header(tmp_path: Path) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / "a.png")
    assert read_size(tmp_path / "a.png") == (48, 64)
    assert read_size(write_dicom(tmp_path / "a.dcm", GRADIENT.astype(np.uint16), 12)) == (48, 64)
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "b.dcm").write_bytes(b"no image")
    for name in ("b.png", "b.dcm", "none.png", "none.dcm"):
        with pytest.raises(ImageReadError, match=name):
            read_size(tmp_path / name)
