"""Each loss has the value and gradients of the CPU on a pretended device, and never waits for it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mmpkd.students.output import ModelOutput
from tests.losses.test_all import LOSSES, B, leaves, make, outputs
from tests.pretended_device import DEVICE, PretendedDevice


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_that_of_the_cpu(name: str) -> None:
    available = torch.arange(B) % 4 > 0
    found: list[list[Tensor]] = []
    with PretendedDevice() as device:
        for place in (torch.device("cpu"), DEVICE):
            own: Any = [[value.to(place) for value in output] for output in outputs(0)]
            student, teacher = leaves(ModelOutput(*own[0])), ModelOutput(*own[1])
            loss, known = make(name).to(place), available.to(place)
            device.reads.clear()
            value = loss(student, teacher, known)
            value.backward()
            assert not device.reads
            gradients = [leaf.grad for leaf in (*student, *loss.parameters()) if leaf.grad is not None]
            assert {value.device, *(gradient.device for gradient in gradients)} == {place}
            found.append([value.detach().cpu(), *(gradient.cpu() for gradient in gradients)])
    for expected, result in zip(*found, strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-6)
