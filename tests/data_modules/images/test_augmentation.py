"""An augmentation means the same in a loader and on a device."""

from dataclasses import fields
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torch.nn import functional as F

from data_modules.images.device_images import Changes, adjust, augment, draw_changes, warp
from data_modules.images.transforms import Augmentation, SampleTransform

SIDE = 48
EVERYTHING = Augmentation(shift=0.1, scale=0.3, rotate=30, brightness=0.2, contrast=0.4)


def smooth_image(seed: int) -> np.ndarray:
    """Return an image whose pixels differ so little from their neighbours that ways to interpolate agree."""
    noise = np.random.default_rng(seed).random((SIDE, SIDE), dtype=np.float32)
    image = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4))
    return np.asarray((image - image.min()) / np.ptp(image))


def drawn_in_the_loader(transform: SampleTransform) -> dict[str, float]:
    """Return what the last call of the loader's pipeline drew, in the terms of `Changes`."""
    assert transform._augment is not None
    found = {"mirror": 1.0}
    for step in transform._augment.transforms:
        params: dict[str, Any] = step.params
        if type(step).__name__ == "HorizontalFlip" and params:
            found["mirror"] = -1.0
        if "matrix" in params:
            # where the centre goes to
            centre = np.array([*[params["shape"][1] / 2 - 0.5] * 2, 1])
            found["shift_x"], found["shift_y"], _ = params["matrix"] @ centre - centre
            found["angle"], found["scale"] = params["rotate"], params["scale"]["x"]
        if "alpha" in params:
            found["gain"], found["offset"] = params["alpha"], params["beta"]
    return found


@given(seed=st.integers(0, 10**6), flip=st.sampled_from([0.0, 0.5, 1.0]), scale=st.floats(0, 0.5))
@settings(max_examples=40)
def test_the_same_changes_give_the_same_picture(seed: int, flip: float, scale: float) -> None:
    augmentation = Augmentation(0.2, scale, 45, 0.2, 0.3, flip)
    image, transform = smooth_image(seed), SampleTransform(augmentation, 0.0, 1.0, seed, SIDE)
    in_loader = transform(image, 3, seed % 97)[0][0]
    changes = Changes(
        **{name: torch.tensor([value], dtype=torch.float32) for name, value in drawn_in_the_loader(transform).items()}
    )
    on_device = adjust(warp(torch.from_numpy(image)[None, None], changes), changes)[0, 0].numpy()
    # releases 4 of OpenCV take places to 32nds of a pixel: up to half of that away, along both axes
    steepest = np.abs(np.diff(image, axis=0)).max() + np.abs(np.diff(image, axis=1)).max()
    np.testing.assert_allclose(on_device, in_loader, atol=1e-5 + float(changes.gain) * steepest / 64)


def test_beyond_the_border_its_pixels_are_repeated() -> None:
    image, index = torch.rand(20, 1, SIDE, SIDE), torch.arange(20)
    changes = draw_changes(Augmentation(shift=0.9, scale=0.5, rotate=90), SIDE, 0, 0, index)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "grid_sample", partial(F.grid_sample, padding_mode="border"))
        expected = warp(image, changes)
    found = warp(image, changes)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (found[:, :, 0].diff() == 0).any()


def test_both_draw_from_the_same_distributions() -> None:
    count = 1500
    transform, image = SampleTransform(EVERYTHING, 0.0, 1.0, 0, 20), np.zeros((20, 20), np.float32)
    rows = []
    for index in range(count):
        transform(image, 0, index)
        rows.append(drawn_in_the_loader(transform))
    loader = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    changes = draw_changes(EVERYTHING, 20, 0, 0, torch.arange(count))
    names = [field.name for field in fields(Changes) if field.name != "mirror"]
    limits = {"shift_x": 2, "shift_y": 2, "scale": 0.3, "angle": 30, "gain": 0.4, "offset": 0.2}
    for family in (loader, {name: getattr(changes, name).numpy() for name in names}):
        for name in names:
            distance = np.abs(family[name] - (name in ("scale", "gain")))
            assert 0.97 * limits[name] < distance.max() < limits[name] + 1e-6
        values = np.stack([family[name] for name in names])
        assert np.abs(np.corrcoef(values) - np.eye(len(names))).max() < 0.1
        for axis in ("shift_x", "shift_y"):
            shares = np.bincount(family[axis].round().astype(int) + 2) / count
            np.testing.assert_allclose(shares, 0.2, atol=0.04)
    for name in names:
        assert ks_2samp(loader[name], getattr(changes, name).numpy()).pvalue > 1e-3, name


def test_a_square_stays_a_square() -> None:
    square = np.zeros((96, 96), np.float32)
    square[32:64, 32:64] = 1
    augmentation = Augmentation(scale=0.3)
    transform = SampleTransform(augmentation, 0.0, 1.0, 0, 96)
    loader = np.stack([transform(square, 0, index)[0][0] for index in range(40)])
    batch = torch.from_numpy(square).expand(40, 1, 96, 96)
    device = augment(batch, augmentation, 0, 0, torch.arange(40))[:, 0].numpy()
    for images in (loader, device):
        height, width = ((images.max(axis) > 0.5).sum(1) for axis in (2, 1))
        np.testing.assert_array_equal(height, width)
        assert height.min() < 26 < 38 < height.max()


@pytest.mark.parametrize(
    ("name", "value"),
    [("shift", -0.1), ("scale", 1.0), ("rotate", 200), ("brightness", 2), ("contrast", -1), ("horizontal_flip", 1.5)],
)
def test_numbers_that_mean_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"augmentation\.{name} in \[0, .* but got {value}"):
        Augmentation(**{name: value})
