"""Predictions of a trained student for image files."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_modules.images.image_file import ImageReadError
from mmpkd.inference.image_maps import find_images
from mmpkd.students import TrainedStudent, load_trained_student

logger = logging.getLogger("mmpkd")


def infer(
    student: str | Path | TrainedStudent, paths: str | Path | Sequence[str | Path], batch_size: int = 32
) -> pd.DataFrame:
    """Read image files in the same way as in the student's training, and predict their labels.

    Args:
        student: Checkpoint of a student's run, or a result of `load_trained_student`.
        paths: Image files, and folders to search for them.
        batch_size: Number of images per forward pass.

    Returns:
        One row per file: `file`, and the probability of each label. If a file cannot be read, its probabilities are NaN and an
        error is logged.

    Raises:
        FileNotFoundError: If there is no checkpoint or no image.
        ValueError: If the checkpoint is not one of a student, or it does not say how to read files.
    """
    trained = student if isinstance(student, TrainedStudent) else load_trained_student(student)
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    files = [file.path for file in find_images(given)]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trained.student.to(device)
    # NaN remains where a file cannot be read
    probability = np.full((len(files), len(trained.label_names)), np.nan, dtype=np.float32)
    for start in range(0, len(files), batch_size):
        images = {row: _image(trained, files[row]) for row in range(start, min(start + batch_size, len(files)))}
        readable = {row: image for row, image in images.items() if image is not None}
        if readable:
            with torch.no_grad():
                logits = trained.student(torch.cat(list(readable.values())).to(device)).logits
            probability[list(readable)] = logits.float().sigmoid().cpu().numpy()
    frame = pd.DataFrame(probability, columns=list(trained.label_names))
    frame.insert(0, "file", [str(file) for file in files])
    return frame


def _image(trained: TrainedStudent, path: Path) -> Tensor | None:
    """Return an image, float32 (1, 1, H, W), or None if it cannot be read."""
    try:
        pixels, _ = trained.read(path)
    except ImageReadError as error:
        logger.error("%s", error)
        return None
    return trained.normalised(pixels)
