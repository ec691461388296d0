"""Predictions and maps of files on a pretended device are those of the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmpkd.inference import predictions
from mmpkd.inference.image_files import find_images
from mmpkd.inference.map_files import computed_maps
from mmpkd.inference.maps import METHODS
from mmpkd.students import load_trained_student
from tests.pretended_device import DEVICE, PretendedDevice


def test_predictions_and_maps_are_those_of_the_cpu(
    checkpoint: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = find_images([tiny_root / "test"])[:3]
    found = []
    with PretendedDevice() as device:
        for place in (torch.device("cpu"), DEVICE):
            monkeypatch.setattr(predictions, "gpu_or_cpu", lambda place=place: place)
            trained = load_trained_student(checkpoint)
            own = list(predictions.predict_files(trained, files, batch_size=2, num_workers=0))
            assert bool(device.reads) == (place == DEVICE)
            methods = [method() for method in METHODS.values()]
            found.append([(one.probability, computed_maps(trained, methods, one, None)) for one in own])
    for (expected, maps), (probability, others) in zip(*found, strict=True):
        assert expected is not None
        torch.testing.assert_close(probability, expected, rtol=1e-5, atol=1e-6)
        assert [one.key for one in others] == [one.key for one in maps]
        for one, other in zip(maps, others, strict=True):
            np.testing.assert_allclose(other.values, one.values, rtol=1e-3, atol=1e-5)
