"""Maps of a trained student for one image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmpkd.attribution import (
    AttentionRelevance,
    AttentionRollout,
    AttributionMethod,
    ClassAttribution,
    GradCAM,
    LastLayerAttention,
    crop_to_image,
    pad_to_patches,
)
from mmpkd.students import TrainedStudent

METHODS: dict[str, type[AttributionMethod]] = {
    method.name: method for method in (AttentionRollout, LastLayerAttention, AttentionRelevance, GradCAM)
}


@dataclass(frozen=True)
class ImageMap:
    """One map of one image.

    Attributes:
        method: Name of the attribution.
        title: Title of the attribution.
        finding: The finding that the map is specific to, or None.
        values: Float32 (h, w) >= 0 on the patch grid, or in pixels if the student pads incomplete patches.
    """

    method: str
    title: str
    finding: str | None
    values: NDArray[np.float32]

    @property
    def key(self) -> str:
        """Name of the map in a file of maps."""
        return self.method if self.finding is None else f"{self.method}/{self.finding}"

    @property
    def heading(self) -> str:
        """Heading of the map in a figure."""
        return self.title if self.finding is None else f"{self.title}: {self.finding}"


def check_findings(trained: TrainedStudent, findings: Sequence[str] | None) -> None:
    """Check that findings are among the student's labels.

    Raises:
        ValueError: If one is not.
    """
    unknown = [name for name in findings or () if name not in trained.label_names]
    if unknown:
        raise ValueError(f"Expected findings of {list(trained.label_names)} but got {unknown}.")


def findings_to_show(trained: TrainedStudent, probability: Tensor, wanted: Sequence[str] | None) -> list[int]:
    """Return the findings to show: the requested ones, or those above their threshold, or else the most probable one.

    Args:
        trained: The student.
        probability: Float (K,).
        wanted: Names of requested findings, or None.
    """
    if wanted:
        return [trained.label_names.index(name) for name in wanted]
    present = (probability >= trained.thresholds.cpu()).nonzero()[:, 0].tolist()
    return present or [int(probability.argmax())]


def maps_of(
    trained: TrainedStudent, methods: Sequence[AttributionMethod], image: Tensor, findings: Sequence[int]
) -> list[ImageMap]:
    """Return the maps of one image.

    Args:
        trained: The student, on the device of the image.
        methods: Attributions.
        image: Float (1, C, H, W), normalised.
        findings: Indices of the findings to show, for attributions that are specific to one.
    """
    student = trained.student
    padded = pad_to_patches(student, image)
    # of the image without padding, which maps are cropped to
    size = (int(image.shape[-2]), int(image.shape[-1]))

    def one(method: AttributionMethod, finding: str | None, heatmap: Tensor) -> ImageMap:
        values = crop_to_image(student, heatmap, size)[0].cpu().numpy()
        return ImageMap(method.name, method.title, finding, values)

    maps = []
    for method in methods:
        if not isinstance(method, ClassAttribution):
            maps.append(one(method, None, method(student, padded)))
            continue
        for finding in findings:
            label = torch.tensor([finding], device=image.device)
            maps.append(one(method, trained.label_names[finding], method.of_label(student, padded, label)))
    return maps
