"""Every attribution gives the maps of the CPU on a pretended device, whatever the layout of tokens."""

import pytest
import timm
import torch
from torch import Tensor, nn

from mmpkd.attribution import AttentionRollout, AttributionMethod, GradCAM, crop_to_image, pad_to_patches
from mmpkd.attribution.recording import blocks
from tests.attribution.methods import METHODS, maps
from tests.attribution.models import build, image_for
from tests.attribution.test_grad_cam_layouts import RIGHT
from tests.attribution.test_padding import padding_student
from tests.classes import concrete
from tests.pretended_device import DEVICE, PretendedDevice

LABEL = torch.tensor([2, 0])
# pooling by attention, a mask, parallel attentions, rotary embeddings, two heads
LAYOUTS = ("map_pooling", "relative_position", "parallel_things", "eva02", "distilled")
# of the network, not of the image alone
OF_STUDENT = [method for method in METHODS if not method.is_baseline]


def check(method: AttributionMethod, model: nn.Module, image: Tensor) -> None:
    expected = maps(method, model, image, LABEL)
    with PretendedDevice():
        found = maps(method, model.to(DEVICE), image.to(DEVICE), LABEL.to(DEVICE))
        assert found.device == DEVICE
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


def test_every_attribution_is_tried() -> None:
    assert {type(method) for method in METHODS} == {*concrete(AttributionMethod)}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_gives_the_maps_of_the_cpu(method: AttributionMethod) -> None:
    check(method, build("class_token"), image_for("class_token"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_tokens_have_the_maps_of_the_cpu(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_DEVICE_WEIGHTS", 60)  # three rows of the weights of two images at a time
    for method in (*OF_STUDENT, AttentionRollout("max", discard_ratio=0.4)):
        check(method, build(layout), image_for(layout))


@pytest.mark.parametrize(("name", "options", "size"), [(case[0], case[1], case[2]) for case in RIGHT[4:6]])
def test_models_with_windows_and_channels_first_have_the_grad_cam_of_the_cpu(
    name: str, options: dict[str, object], size: int
) -> None:
    torch.manual_seed(0)
    check(GradCAM(), timm.create_model(name, num_classes=3, **options).eval(), torch.randn(2, 3, size, size))


def test_padding_and_cropping_are_those_of_the_cpu() -> None:
    student, image = padding_student(), torch.randn(2, 1, 28, 28)
    found = []
    with PretendedDevice():
        for place in (torch.device("cpu"), DEVICE):
            padded = pad_to_patches(student.to(place), image.to(place))
            found.append(crop_to_image(student, AttentionRollout()(student, padded), (28, 28)).cpu())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)
