"""Predictions of a trained student for image files, in batches that other processes read."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_modules.images.geometry import Placement
from data_modules.images.image_file import ImageReadError
from data_modules.images.preparation import Preparation
from data_modules.processes.processors import num_processors
from mmpkd.inference.image_files import Named, find_images
from mmpkd.numerics.hardware import gpu_or_cpu
from mmpkd.students import TrainedStudent, load_trained_student

logger = logging.getLogger("mmpkd")


@dataclass(frozen=True)
class FilePrediction:
    """The prediction of a student for a file.

    Attributes:
        file: The file.
        probability: Float32 (K,), on the CPU, or None if the file cannot be read.
        pixels: Grey values, float32 (H, W) in [0, 1], in the frame of the network, or None.
        placement: Position of the image in that frame, or None.
        error: Why the file cannot be read, or "".
    """

    file: Named
    probability: Tensor | None
    pixels: NDArray[np.float32] | None
    placement: Placement | None
    error: str


@dataclass(frozen=True)
class _Read:
    pixels: NDArray[np.float32] | None
    placement: Placement | None
    error: str


class _Files(Dataset[_Read]):
    def __init__(self, preparation: Preparation, files: Sequence[Named]) -> None:
        self.preparation = preparation
        self.paths = [file.path for file in files]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> _Read:
        try:
            pixels, placement = self.preparation(self.paths[index])
        except ImageReadError as error:
            return _Read(None, None, str(error))
        return _Read(pixels, placement, "")


def predict_files(
    trained: TrainedStudent, files: Sequence[Named], batch_size: int = 32, num_workers: int | None = None
) -> Iterator[FilePrediction]:
    """Read files in the same way as in the student's training, and yield predictions in their order.

    Args:
        trained: The student; it is moved to a GPU if there is one.
        files: Image files.
        batch_size: Number of images per forward pass.
        num_workers: Number of processes that read files; by default one per processor, or none for fewer than two batches.

    Raises:
        ValueError: If the checkpoint does not say how to read files.
    """
    preparation = trained.known_preparation
    device = gpu_or_cpu()
    trained.student.to(device)
    workers = (num_processors() if len(files) >= 2 * batch_size else 0) if num_workers is None else num_workers
    # a list, not stacked tensors: files that cannot be read have no pixels
    loader = DataLoader(_Files(preparation, files), batch_size, num_workers=workers, collate_fn=list)
    remaining = iter(files)
    for batch in loader:
        images = [trained.normalised(read.pixels) for read in batch if read.pixels is not None]
        # one row per image that could be read, in the order of the batch
        probability = iter(_probability(trained, images, device))
        for read in batch:
            own = None if read.pixels is None else next(probability)
            yield FilePrediction(next(remaining), own, read.pixels, read.placement, read.error)


def _probability(trained: TrainedStudent, images: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return the probabilities (B, K) of images (1, 1, H, W) each."""
    if not images:
        return torch.empty(0, len(trained.label_names))
    with torch.no_grad():
        logits: Tensor = trained.student(torch.cat(list(images)).to(device)).logits
    return logits.float().sigmoid().cpu()


def infer(
    student: str | Path | TrainedStudent,
    paths: str | Path | Sequence[str | Path],
    batch_size: int = 32,
    num_workers: int = 0,
) -> pd.DataFrame:
    """Read image files in the same way as in the student's training, and predict their labels.

    Args:
        student: Checkpoint of a student's run, an exported folder, or a result of `load_trained_student`.
        paths: Image files, and folders to search for them.
        batch_size: Number of images per forward pass.
        num_workers: Number of processes that read files; 0 reads them in this process.

    Returns:
        One row per file: `file`, and the probability of each label. If a file cannot be read, its probabilities are NaN and an
        error is logged.

    Raises:
        FileNotFoundError: If there is no checkpoint or no image.
        ValueError: If the checkpoint is not one of a student, or it does not say how to read files.
    """
    trained = student if isinstance(student, TrainedStudent) else load_trained_student(student)
    given = [paths] if isinstance(paths, str | Path) else paths
    places = [Path(path) for path in given]
    files = find_images(places)
    probability = np.full((len(files), len(trained.label_names)), np.nan, dtype=np.float32)
    for row, found in enumerate(predict_files(trained, files, batch_size, num_workers)):
        if found.probability is None:
            logger.error("%s", found.error)
        else:
            probability[row] = found.probability.numpy()
    frame = pd.DataFrame(probability, columns=list(trained.label_names))
    frame.insert(0, "file", [str(file.path) for file in files])
    return frame
