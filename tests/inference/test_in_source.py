"""A map lands where it belongs in the file."""

import numpy as np
import pytest
import torch

from data_modules.images.geometry import Placement, Window, place
from mmpkd.attribution import min_max, upsample
from mmpkd.inference.dicom.source import in_source


def test_a_file_of_the_frames_size_has_the_enlarged_map() -> None:
    values = np.random.default_rng(0).random((4, 4)).astype(np.float32)
    whole = place((32, 32), Window((0, 32), (0, 32)), 32, "stretch")
    expected = upsample(min_max(torch.from_numpy(values)[None]), (32, 32))[0].numpy()
    np.testing.assert_allclose(in_source(values, whole), expected, atol=1e-3)  # OpenCV interpolates in steps of 1/32


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_a_peak_is_where_its_patch_lies_in_the_file(flip: bool, resize: str) -> None:
    window = Window((20.0, 100.0), (10.0, 50.0), flip)
    placement: Placement = place((120, 60), window, 64, resize)  # type: ignore[arg-type]
    for row, column in ((2, 3), (4, 4), (5, 3)):
        values = np.zeros((8, 8), np.float32)
        values[row, column] = 1
        found = in_source(values, placement)
        assert found.shape == (120, 60)
        (centre,) = placement.to_frame(np.array([[(column + 0.5) * 8, (row + 0.5) * 8]]))
        peak = np.argwhere(found >= found.max() - 1e-3).mean(0) + 0.5  # (y, x)
        np.testing.assert_allclose(peak[::-1], centre, atol=1.5)
        assert (found[:20] == 0).all()
        assert (found[100:] == 0).all()
        assert (found[:, :10] == 0).all()
        assert (found[:, 50:] == 0).all()
