"""Images that are normalised and augmented on a pretended device are those of the CPU."""

from pathlib import Path

import pytest
import torch

from data_modules.images.device_images import DeviceImages
from data_modules.images.prepared import Depth
from data_modules.images.transforms import Augmentation
from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.modules import DistillationModule
from tests.data_modules.images.test_device_images import prepared_module
from tests.pretended_device import DEVICE, PretendedDevice
from tests.pretended_run import Reads, fit
from tests.tiny import tiny_student

EVERYTHING = Augmentation(shift=0.1, scale=0.3, rotate=30, brightness=0.2, contrast=0.4, horizontal_flip=0.5)


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_images_kept_there_are_those_of_the_cpu(depth: Depth, tmp_path: Path) -> None:
    data = prepared_module(tmp_path, depth)
    prepared = data.prepared_images("train")
    assert prepared is not None
    found = []
    with PretendedDevice() as device:
        for place in (torch.device("cpu"), DEVICE):
            images, index = DeviceImages(prepared, EVERYTHING, 0.5, 0.25, 3, place), torch.arange(9).to(place)
            device.reads.clear()
            found.append(images.batch(index, epoch=2))
            assert found[-1].device == place
        assert not device.reads
        torch.testing.assert_close(found[1].cpu(), found[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("max_share", [0.0, 1.0])
def test_a_step_does_not_wait_for_its_images(max_share: float, tmp_path: Path) -> None:
    """Whether they are kept on the device or sent there as stored."""
    data = prepared_module(tmp_path)
    data.augmentation = EVERYTHING
    with PretendedDevice() as device:
        reads = Reads(device)
        fit(DistillationModule(tiny_student()), tmp_path, tmp_path, ImagesOnDevice(max_share), reads, data=data)
    assert not reads.by_part["training step"]
