"""Grey values of DICOM files against the formulas of the standard, and against pydicom where it follows them."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_voi_lut, convert_color_space

from data_modules.images.dicom import read_grey
from data_modules.images.image_file import ImageReadError, read_image, used_range
from tests.data.dicom import table, write_dicom

RNG = np.random.default_rng(0)
UNSIGNED = RNG.integers(0, 4096, (9, 7)).astype(np.uint16)
SIGNED = RNG.integers(-2048, 2048, (9, 7)).astype(np.int16)
CURVE = np.sqrt(np.linspace(0, 1, 4096)) * 1023


@pytest.mark.parametrize("pixels", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"RescaleSlope": 1, "RescaleIntercept": -1024},
        {"RescaleSlope": 0.5, "RescaleIntercept": 3.25},
        {"WindowCenter": 1000, "WindowWidth": 500},
        {"WindowCenter": [900, 5], "WindowWidth": [700, 1], "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 1000, "WindowWidth": 500, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 1000, "WindowWidth": 1},
        {"RescaleSlope": 2, "RescaleIntercept": -7, "WindowCenter": 1000, "WindowWidth": 2000},
        {"ModalityLUTSequence": table(0, CURVE, 16)},
        {"ModalityLUTSequence": table(0, CURVE, 16), "WindowCenter": 500, "WindowWidth": 400},
        {"VOILUTSequence": table(100, CURVE[:3000], 10), "WindowCenter": 1, "WindowWidth": 2},
    ],
)  # fmt: skip
def test_grey_values_are_those_of_pydicom(pixels: np.ndarray, tags: dict[str, object], tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", pixels, 12, **tags)
    dataset = pydicom.dcmread(path)
    expected = np.asarray(apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset), dtype=np.float64)
    expected = (expected - expected.min()) / max(np.ptp(expected), 1e-9)
    np.testing.assert_allclose(read_image(path)[0], expected, atol=2e-6)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(path)
    np.testing.assert_allclose(read_image(path)[0], 1 - expected if expected.any() else expected, atol=2e-6)


def test_a_window_of_values_with_a_negative_slope_keeps_their_order(tmp_path: Path) -> None:
    pixels = np.array([[0, 1000, 3000, 4095]], np.uint16)
    tags = {"RescaleSlope": -1, "RescaleIntercept": 4095, "WindowCenter": 2048, "WindowWidth": 4096}
    path = write_dicom(tmp_path / "a.dcm", pixels, 12, **tags)
    np.testing.assert_allclose(read_image(path, grey_range="declared")[0], 1 - pixels / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("tags", "effective"),
    [
        ({"RescaleSlope": None, "RescaleIntercept": None}, {}),
        ({"RescaleSlope": 2}, {"RescaleSlope": 2, "RescaleIntercept": 0}),
        ({"RescaleSlope": None, "RescaleIntercept": -5}, {"RescaleSlope": 1, "RescaleIntercept": -5}),
        ({"WindowCenter": None, "WindowWidth": 40}, {}),
        ({"WindowCenter": 0, "WindowWidth": 0}, {}),
        ({"VOILUTSequence": []}, {}),
        ({"VOILUTSequence": [pydicom.Dataset()], "WindowCenter": 9, "WindowWidth": 50}, {"WindowCenter": 9, "WindowWidth": 50}),
        ({"WindowCenter": 9, "WindowWidth": 50, "VOILUTFunction": None}, {"WindowCenter": 9, "WindowWidth": 50}),
        ({"HighBit": None, "NumberOfFrames": None, "PixelPaddingValue": None}, {}),
    ],
)  # fmt: skip
def test_what_is_there_but_empty_is_not_there(
    tags: dict[str, object], effective: dict[str, object], tmp_path: Path
) -> None:
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, 12, **tags)
    other = write_dicom(tmp_path / "b.dcm", UNSIGNED, 12, **effective)
    np.testing.assert_array_equal(read_image(path)[0], read_image(other)[0])
    np.testing.assert_array_equal(
        read_image(path, grey_range="declared")[0], read_image(other, grey_range="declared")[0]
    )


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_an_empty_first_table_leaves_the_place_to_the_second(keyword: str, tmp_path: Path) -> None:
    curve = table(0, CURVE, 10)
    expected, _ = read_image(write_dicom(tmp_path / "a.dcm", UNSIGNED, 12, **{keyword: curve}))
    tables = [pydicom.Dataset(), *curve, *table(0, CURVE[::-1], 10)]
    path = write_dicom(tmp_path / "b.dcm", UNSIGNED, 12, **{keyword: tables})
    np.testing.assert_array_equal(read_image(path)[0], expected)


def items(**elements: object) -> list[pydicom.Dataset]:
    item = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return [item]


@pytest.mark.parametrize("name", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
@pytest.mark.parametrize(
    "voi",
    [
        {"WindowCenter": 900, "WindowWidth": 700},
        {"WindowCenter": 900, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"},
        {"VOILUTSequence": table(100, CURVE[:3000], 10)},
        {},
    ],
)
def test_functional_groups_of_an_enhanced_image_count_like_the_top_level(
    voi: dict[str, object], name: str, tmp_path: Path
) -> None:
    modality = {"RescaleSlope": -2, "RescaleIntercept": 4000}
    groups = items(PixelValueTransformationSequence=items(**modality), FrameVOILUTSequence=items(**voi))
    found = write_dicom(tmp_path / "a.dcm", UNSIGNED, 12, NumberOfFrames=1, **{name: groups})
    expected = write_dicom(tmp_path / "b.dcm", UNSIGNED, 12, **modality, **voi)
    for grey_range in ("observed", "declared"):
        np.testing.assert_array_equal(read_image(found, 0, grey_range)[0], read_image(expected, 0, grey_range)[0])


def test_damaged_functional_groups_are_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, 12)
    dataset = pydicom.dcmread(path)
    dataset.add_new("SharedFunctionalGroupsSequence", "US", 3)
    dataset.save_as(path)
    with pytest.raises(ImageReadError, match="SharedFunctionalGroupsSequence is 3 where a sequence is expected"):
        read_image(path)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "RescaleSlope is 0"),
        ({"RescaleSlope": [1, 2]}, "RescaleSlope has 2 values where one is expected"),
        ({"RescaleSlope": "1e29"}, "RescaleSlope and RescaleIntercept make its values reach"),
        ({"WindowCenter": 9, "WindowWidth": -50}, "WindowWidth is -50, too small for a LINEAR window"),
        ({"WindowCenter": 9, "WindowWidth": 0.5}, "too small for a LINEAR window"),
        ({"WindowCenter": 9, "WindowWidth": 5, "VOILUTFunction": "CUBIC"}, "VOILUTFunction is 'CUBIC' where one of LINEAR"),
        ({"VOILUTSequence": table(0, CURVE[:9], 7)}, "LUTDescriptor of VOILUTSequence"),
        ({"BitsStored": 17}, "BitsStored is 17 where 1 to 16"),
        ({"HighBit": 15}, "HighBit is 15 where 11"),
        ({"NumberOfFrames": 3}, "3 frames where one two-dimensional frame is expected"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PhotometricInterpretation is PALETTE COLOR with 1 samples"),
        ({"PhotometricInterpretation": None}, "PhotometricInterpretation is missing"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "PlanarConfiguration is missing"),
        ({"SamplesPerPixel": 3}, "PhotometricInterpretation is MONOCHROME2 with 3 samples"),
        ({"PixelRepresentation": 2}, "PixelRepresentation is 2"),
        ({"Rows": 65535, "Columns": 65535}, "declares 65535 x 65535 pixels"),
        ({"Rows": 90}, "number of bytes of pixel data is less than expected"),
        ({"PixelPaddingRangeLimit": 9}, "PixelPaddingRangeLimit but no PixelPaddingValue"),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095}, "all its pixels are padding"),
    ],
)  # fmt: skip
def test_a_header_that_contradicts_the_standard_is_refused_with_the_reason(
    tags: dict[str, object], words: str, tmp_path: Path
) -> None:
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, 12, **tags)
    with pytest.raises(ImageReadError, match=rf"a\.dcm' cannot be read: .*{words}"):
        read_image(path)


def test_overlays_and_the_shape_of_the_presentation_are_ignored(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, 12, PresentationLUTShape="INVERSE")
    dataset = pydicom.dcmread(path)
    for element, vr, value in (
        (0x10, "US", 9),
        (0x11, "US", 7),
        (0x40, "CS", "G"),
        (0x102, "US", 0),
        (0x3000, "OW", b"\xff" * 8),
    ):
        dataset.add_new((0x6000, element), vr, value)
    dataset.save_as(path)
    np.testing.assert_allclose(read_image(path, grey_range="declared")[0], UNSIGNED / 4095, atol=1e-6)


def test_colours_become_their_mean_in_any_order_and_without_a_window(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file("SC_rgb_small_odd.dcm", download=False)))
    colours = dataset.pixel_array
    expected = colours.mean(axis=-1) / 255
    dataset.PlanarConfiguration = 1
    dataset.PixelData = colours.transpose(2, 0, 1).tobytes() + b"\0"
    dataset.WindowCenter, dataset.WindowWidth, dataset.RescaleSlope = 10, 20, 3
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_allclose(read_image(tmp_path / "a.dcm", grey_range="declared")[0], expected, atol=1e-6)
    luminance = convert_color_space(colours, "RGB", "YBR_FULL")
    dataset.PixelData = luminance.transpose(2, 0, 1).tobytes() + b"\0"
    dataset.PhotometricInterpretation = "YBR_FULL"
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_allclose(read_image(tmp_path / "a.dcm", grey_range="declared")[0], expected, atol=0.01)


def test_overlays_in_unused_high_bits_are_not_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED | np.uint16(0x8000), 12)
    np.testing.assert_allclose(read_image(path, grey_range="declared")[0], UNSIGNED / 4095, atol=1e-6)


def test_a_packed_table_of_8_bits_is_read(tmp_path: Path) -> None:
    packed = table(0, np.zeros(256), 8)
    packed[0].LUTData = bytes(range(255, -1, -1))
    path = write_dicom(tmp_path / "a.dcm", np.arange(256, dtype=np.uint8).reshape(16, 16), 8, VOILUTSequence=packed)
    np.testing.assert_allclose(read_image(path)[0].ravel(), np.arange(255, -1, -1) / 255, atol=1e-6)


@pytest.mark.parametrize(("vr", "first"), [("SS", -2048), ("US", 2**16 - 2048)])
def test_the_first_value_of_a_table_may_be_written_without_its_sign(vr: str, first: int, tmp_path: Path) -> None:
    curve = table(0, CURVE, 10)
    curve[0].add_new("LUTDescriptor", vr, [4096, first, 10])
    path = write_dicom(tmp_path / "a.dcm", SIGNED, 12, ModalityLUTSequence=curve)
    expected = CURVE.astype(np.uint16)[SIGNED.astype(int) + 2048]
    np.testing.assert_allclose(read_image(path, grey_range="declared")[0], expected / 1023, atol=1e-6)


def test_values_far_from_zero_keep_their_differences(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, 12, RescaleSlope=1, RescaleIntercept=1_000_000_000)
    np.testing.assert_allclose(read_image(path, grey_range="declared")[0], UNSIGNED / 4095, atol=1e-6)


# Padding, PS3.3 C.7.5.1.1.2: in stored values, before any look-up


EXPOSURE = np.array([[100, 150, 200], [300, 250, 180]])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("value", [-2048, 2047, 99, 301])
@pytest.mark.parametrize("is_signed", [True, False])
def test_padding_is_background_and_takes_no_part_in_grey_scaling(
    photometric: str, value: int, is_signed: bool, tmp_path: Path
) -> None:
    shift, dtype = (0, np.int16) if is_signed else (2048, np.uint16)
    tags = {"PhotometricInterpretation": photometric, "RescaleSlope": 3, "RescaleIntercept": -40}
    alone, _ = read_image(write_dicom(tmp_path / "a.dcm", (EXPOSURE + shift).astype(dtype), 12, **tags))
    padded = np.pad(EXPOSURE, 2, constant_values=value) + shift
    path = write_dicom(tmp_path / "b.dcm", padded.astype(dtype), 12, PixelPaddingValue=value + shift, **tags)
    image, _ = read_image(path)
    np.testing.assert_array_equal(image[2:-2, 2:-2], alone)
    assert (alone.min(), alone.max()) == (0, 1)
    image[2:-2, 2:-2] = 0
    assert not image.any()


@pytest.mark.parametrize("ends", [(0, 90), (90, 0)])
def test_a_range_of_padding_includes_both_ends(ends: tuple[int, int], tmp_path: Path) -> None:
    pixels = np.array([[0, 45, 90, 91, 200]], np.uint16)
    tags = {"PixelPaddingValue": ends[0], "PixelPaddingRangeLimit": ends[1]}
    path = write_dicom(tmp_path / "a.dcm", pixels, 12, **tags)
    np.testing.assert_allclose(read_image(path)[0], [[0, 0, 0, 0, 1]])
    np.testing.assert_allclose(
        read_image(path, grey_range="declared")[0], [[0, 0, 0, 91 / 4095, 200 / 4095]], atol=1e-6
    )
    assert used_range(path)[1] == pytest.approx(200 / 4095)
    padding = read_grey(path).padding
    assert padding is not None
    assert padding.tolist() == [[True, True, True, False, False]]


@pytest.mark.parametrize(("vr", "written"), [("SS", -2000), ("US", 63536)])
def test_padding_of_signed_pixels_may_be_written_without_its_sign(vr: str, written: int, tmp_path: Path) -> None:
    pixels = np.array([[-2000, 5, 6, 7]], np.int16)
    path = write_dicom(tmp_path / "a.dcm", pixels, 16)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", vr, written)
    dataset.save_as(path)
    np.testing.assert_allclose(read_image(path)[0], [[0, 0, 0.5, 1]])


def test_padding_outside_the_window_is_background_too(tmp_path: Path) -> None:
    pixels = np.array([[4095, 1000, 2000, 3000]], np.uint16)
    tags = {"PixelPaddingValue": 4095, "WindowCenter": 2000.5, "WindowWidth": 2001}
    path = write_dicom(tmp_path / "a.dcm", pixels, 12, **tags)
    np.testing.assert_allclose(read_image(path, grey_range="declared")[0], [[0, 0, 0.5, 1]], atol=1e-6)
