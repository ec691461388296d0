from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_modules.images import ImageReadError, read_image, read_mask, window
from tests.real import real_data

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


def test_windowing_clips_at_percentiles_and_keeps_constant_images() -> None:
    values = np.arange(101, dtype=np.float32)
    scaled = window(values, 10, 90)
    assert scaled[10] == 0
    assert scaled[90] == 1
    assert scaled[50] == pytest.approx(0.5)
    assert window(np.full((2, 2), 7.0, np.float32)).max() == 0


def test_real_dicom_files_read_as_listed_or_fail_with_their_name() -> None:
    folder = real_data("dicom_samples")
    listed = pd.read_csv(folder / "index.csv")
    num_read = 0
    for row in listed.to_dict("records"):
        try:
            image, frame = read_image(folder / row["file"])
        except ImageReadError as error:
            assert row["file"] in str(error)  # noqa: PT017  either outcome is fine, a silent third is not
            continue
        num_read += 1
        assert image.shape == frame
        assert 0 <= image.min() <= image.max() <= 1
        assert str(frame[0]) in str(row["shape"])
    assert num_read >= 10


def test_monochrome1_is_inverted() -> None:
    folder = real_data("dicom_samples")
    plain, _ = read_image(folder / "rsna_cxr_pa_850819.dcm")
    tagged, _ = read_image(folder / "Fake_MONOHR1.dcm")
    np.testing.assert_allclose(tagged, 1 - plain, atol=1e-5)


def test_a_real_mask_with_levels_0_and_2_is_not_empty() -> None:
    assert read_mask(real_data("cbis_ddsm_sample") / "Mass-Training_P_00001_LEFT_CC_MASK.png").any()
