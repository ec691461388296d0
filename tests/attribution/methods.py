"""Every attribution, ready to be used."""

import torch
from torch import Tensor, nn

from mmpkd import attribution
from mmpkd.attribution import AttributionMethod, ClassAttribution, LearnedMap
from tests.classes import exported


def made(kind: type[AttributionMethod]) -> AttributionMethod:
    """Return a method; those that learn have learned mean regions of three findings."""
    method = kind()
    if isinstance(method, LearnedMap):
        method.learn(torch.rand(3, 3, 3, generator=torch.Generator().manual_seed(0)).double(), torch.tensor([1, 0, 2]))
    return method


METHODS: list[AttributionMethod] = [made(kind) for kind in exported(attribution, AttributionMethod)]


def maps(method: AttributionMethod, model: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    """Return the maps of a method, (B, h, w), for one finding of each image if they are specific to one."""
    return method.of_label(model, image, label) if isinstance(method, ClassAttribution) else method(model, image)
