"""Figures of an image with its maps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_modules.images.geometry import Placement
from mmpkd.attribution import upsample
from mmpkd.attribution.plotting import map_figure
from mmpkd.inference.maps import ImageMap
from mmpkd.students import TrainedStudent


def write_figure(
    path: Path, pixels: NDArray[np.float32], placement: Placement, maps: Sequence[ImageMap], title: str
) -> None:
    """Write a figure of the part of the frame that holds the image, with the image's own aspect ratio.

    Args:
        path: File to write; its suffix determines the format.
        pixels: Grey values, float32 (H, W) in [0, 1], in the frame of the network.
        placement: Position of the image in the frame.
        maps: Maps of the image.
        title: Title of the figure.
    """
    (top, left) = placement.offset
    (height, width) = placement.content
    inside = slice(top, top + height), slice(left, left + width)
    window = placement.window
    # pixels of the file per pixel of the frame: `stretch` squeezes an image into a square, and this undoes it
    aspect = ((window.rows[1] - window.rows[0]) / height) / ((window.columns[1] - window.columns[0]) / width)
    cropped = {one.heading: enlarged(one.values, placement.side)[inside] for one in maps}
    figure = map_figure(pixels[inside].clip(0, 1), cropped, title=title, aspect=aspect)
    figure.savefig(path, dpi=200)


def enlarged(heatmap: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return a map (h, w) interpolated to the pixels of the frame, float32 (side, side)."""
    return np.asarray(upsample(torch.from_numpy(heatmap)[None], (side, side))[0].numpy(), dtype=np.float32)


def most_probable(trained: TrainedStudent, probability: Tensor) -> str:
    """Return the three most probable findings as a title."""
    order = probability.argsort(descending=True)[:3].tolist()
    return "; ".join(f"{trained.label_names[k]}: p = {probability[k]:.2f}" for k in order)
