"""Figures of where a student looks on image files, and its predictions for them."""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from data_modules.images.dicom import SUFFIXES as DICOM_SUFFIXES
from data_modules.images.dicom import is_dicom_file
from data_modules.images.geometry import Placement
from data_modules.images.image_file import ImageReadError
from mmpkd.attribution import (
    AttentionRelevance,
    AttentionRollout,
    AttributionMethod,
    ClassAttribution,
    GradCAM,
    LastLayerAttention,
    crop_to_image,
    pad_to_patches,
    upsample,
)
from mmpkd.attribution.plotting import map_figure
from mmpkd.students import TrainedStudent, load_trained_student

logger = logging.getLogger("mmpkd")
METHODS: dict[str, type[AttributionMethod]] = {
    method.name: method for method in (AttentionRollout, LastLayerAttention, AttentionRelevance, GradCAM)
}
SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Named:
    """An image file and a unique name for its output.

    Attributes:
        path: The file.
        name: Name of its figure, without a suffix.
    """

    path: Path
    name: str


def attribute_images(options: argparse.Namespace) -> int:
    """Draw attribution maps of a student and write its predictions.

    Args:
        options: Arguments of `mmpkd attribute`.

    Returns:
        Exit status: 0, or 1 if a file cannot be read.

    Raises:
        FileNotFoundError: If there is no checkpoint or no image.
        ValueError: If the checkpoint cannot be used, or a finding is not among its labels.
    """
    trained = load_trained_student(options.checkpoint)
    unknown = [name for name in options.finding or () if name not in trained.label_names]
    if unknown:
        raise ValueError(f"Expected findings among {list(trained.label_names)} but got {unknown}.")
    return _attribute(trained, find_images(options.images), options)


def find_images(paths: Sequence[Path]) -> list[Named]:
    """Return the given image files, and all image files in the given folders and their subfolders, with unique names.

    Raises:
        FileNotFoundError: If a path does not exist, or there is no image.
    """
    found: list[Named] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"Expected an image or a folder at '{path}' but there is none.")
        if path.is_file():
            found.append(Named(path, _without_suffix(path).name))
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES or is_dicom_file(file))
        found += [Named(file, "_".join(_without_suffix(file.relative_to(path)).parts)) for file in inside]
    if not found:
        raise FileNotFoundError(
            f"Expected images ({', '.join(SUFFIXES)} or DICOM) in {[str(p) for p in paths]} but there are none."
        )
    # files of different folders may have the same name
    taken: dict[str, int] = {}
    named = []
    for file in found:
        count = taken.get(file.name, 0)
        taken[file.name] = count + 1
        named.append(Named(file.path, f"{file.name}_{count + 1}" if count else file.name))
    return named


def _without_suffix(path: Path) -> Path:
    """Return a path without an image suffix. DICOM files are often named by numbers with dots, which are kept."""
    return path.with_suffix("") if path.suffix.lower() in (*SUFFIXES, *DICOM_SUFFIXES) else path


def _attribute(trained: TrainedStudent, files: Sequence[Named], options: argparse.Namespace) -> int:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trained.student.to(device)
    methods = [METHODS[name]() for name in options.attribution]
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    unreadable = 0
    for file in track(files, "attribute", disable=not sys.stderr.isatty()):
        try:
            pixels, placement = trained.read(file.path)
        except ImageReadError as error:
            logger.error("%s", error)
            unreadable += 1
            continue
        image = trained.normalised(pixels).to(device)
        with torch.no_grad():
            probability = trained.student(image).logits.float().sigmoid()[0].cpu()
        panels = _panels(trained, methods, image, _findings(trained, probability, options.finding))
        _write(file, pixels, placement, panels, _title(trained, probability), options)
        values = dict(zip(trained.label_names, probability.tolist(), strict=True))
        rows.append({"file": str(file.path), "name": file.name, **values})
    if rows:
        pd.DataFrame(rows).to_csv(options.out / "predictions.csv", index=False)
    sys.stdout.write(f"{options.out}: {len(rows)} figures and predictions.csv; {unreadable} files could not be read.\n")
    return 1 if unreadable else 0


def _findings(trained: TrainedStudent, probability: Tensor, wanted: Sequence[str] | None) -> list[int]:
    """Return the findings to show: the requested ones, or those above their threshold, or the most probable one."""
    if wanted:
        return [trained.label_names.index(name) for name in wanted]
    present = (probability >= trained.thresholds.cpu()).nonzero()[:, 0].tolist()
    return present or [int(probability.argmax())]


def _panels(
    trained: TrainedStudent, methods: Sequence[AttributionMethod], image: Tensor, findings: Sequence[int]
) -> dict[str, NDArray[np.float32]]:
    student = trained.student
    # maps cover the padded image, figures show the image without padding
    padded = pad_to_patches(student, image)
    panels = {}
    for method in methods:
        title = method.title
        if not isinstance(method, ClassAttribution):
            panels[title] = method(student, padded)
            continue
        for finding in findings:
            label = torch.tensor([finding], device=image.device)
            panels[f"{title}: {trained.label_names[finding]}"] = method.of_label(student, padded, label)
    size = (int(image.shape[-2]), int(image.shape[-1]))
    return {name: crop_to_image(student, heatmap, size)[0].cpu().numpy() for name, heatmap in panels.items()}


def _write(
    file: Named,
    pixels: NDArray[np.float32],
    placement: Placement,
    panels: dict[str, NDArray[np.float32]],
    title: str,
    options: argparse.Namespace,
) -> None:
    """Write a figure of the part of the frame that contains the image, with the image's own aspect ratio."""
    top, left = placement.offset
    height, width = placement.content
    inside = slice(top, top + height), slice(left, left + width)
    window = placement.window
    aspect = ((window.rows[1] - window.rows[0]) / height) / ((window.columns[1] - window.columns[0]) / width)
    side = placement.side
    cropped = {name: _enlarge(values, side)[inside] for name, values in panels.items()}
    figure = map_figure(pixels[inside].clip(0, 1), cropped, title=title, aspect=aspect)
    figure.savefig(options.out / f"{file.name}.{options.format}", dpi=200)


def _enlarge(heatmap: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return np.asarray(upsample(torch.from_numpy(heatmap)[None], (side, side))[0].numpy(), dtype=np.float32)


def _title(trained: TrainedStudent, probability: Tensor) -> str:
    order = probability.argsort(descending=True)[:3].tolist()
    return "; ".join(f"{trained.label_names[k]}: p = {probability[k]:.2f}" for k in order)
