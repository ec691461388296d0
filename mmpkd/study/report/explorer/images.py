"""The test images that have regions, read with the data module of a run."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.base import PrivilegedDataModule
from mmpkd.cli.data_config import DataSettings, load_data_module
from mmpkd.cli.yaml_file import read_settings
from mmpkd.study.execution.data_check import data_arguments
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.report.explorer.blocks import run_lengths

IMAGE_TYPE = "image/webp"
# lossy, for display only: no score is computed from the encoded images
_QUALITY = 90


class NoExplorerError(StudyError):
    """Raised if the explorer of a study cannot be written; the message says why and what to do."""


@dataclass(frozen=True)
class Region:
    """The region of one finding in an image.

    Attributes:
        finding: Name of the finding.
        runs: Mask as run lengths, see `run_lengths`.
        num_pixels: Number of pixels in the region.
    """

    finding: str
    runs: bytes
    num_pixels: int


@dataclass(frozen=True)
class ScoredImage:
    """A test image with regions.

    Attributes:
        sample_id: Identifier of the image.
        patient_id: Identifier of its patient.
        pixels: The network's input frame as an encoded image.
        regions: Regions, sorted by finding.
        label: Float32 (K,): 1, 0, or NaN if unknown.
        strata: Level of the image in each stratum.
    """

    sample_id: str
    patient_id: str
    pixels: bytes
    regions: tuple[Region, ...]
    label: NDArray[np.float32]
    strata: Mapping[str, str]


@dataclass(frozen=True)
class ScoredImages:
    """The test images that have regions, sorted by identifier.

    Attributes:
        images: The images.
        label_names: Names of the K labels.
        are_hashed: Whether the identifiers are hashes.
    """

    images: tuple[ScoredImage, ...]
    label_names: tuple[str, ...]
    are_hashed: bool


def read_images(run: Run, frame: tuple[int, int]) -> ScoredImages:
    """Read the test images that have regions.

    Args:
        run: A run that was tested on them.
        frame: Height and width that the maps were scored in: those of the network's input, or larger if the student pads it.

    Raises:
        NoExplorerError: If they cannot be read.
    """
    try:
        options = read_settings(run.trained_record.config).get("run")
        are_hashed = isinstance(options, dict) and bool(options.get("hash_ids"))
        data = _data_of(run)
        if are_hashed:
            data.hash_ids(_id_key())
        data.serve(load_images=True, load_privileged=False)
        images = sorted(_images(data, frame), key=lambda image: image.sample_id)
    except (OSError, ValueError, SystemExit) as error:
        # a status says nothing; its message is on the terminal already
        why = "the settings of their data are refused, see the terminal." if str(error).isdecimal() else error
        raise NoExplorerError(f"The test images cannot be read: {why}") from error
    return ScoredImages(tuple(images), tuple(data.label_names), are_hashed)


def _data_of(run: Run) -> PrivilegedDataModule:
    if run.external is None:
        return load_data_module(run.record.config, [])
    # a test keeps no configuration of its own
    arguments = data_arguments(run)
    return DataSettings.parse(arguments.configs, arguments.flags).build()


def _id_key() -> str:
    key = os.environ.get("MMPKD_ID_KEY")
    if not key:
        raise ValueError(
            "Expected the secret of run.hash_ids in the environment variable MMPKD_ID_KEY but it is empty."
        )
    return key


def _images(data: PrivilegedDataModule, frame: tuple[int, int]) -> Iterator[ScoredImage]:
    split = data.splits["test"]
    dataset = data.dataset("test", load_images=True, load_privileged=False)
    for row in sorted(split.rois):
        sample = dataset[row]
        assert sample.image is not None
        assert sample.roi_mask is not None
        assert sample.roi_label is not None
        # undo the normalisation; (1, H, W), since images have one grey channel
        grey = (sample.image.mean(0) * data.std + data.mean).clip(0, 1)
        named = [(data.label_names[label], mask) for label, mask in zip(sample.roi_label, sample.roi_mask, strict=True)]
        yield ScoredImage(
            sample_id=sample.sample_id,
            patient_id=sample.patient_id,
            pixels=_encoded(np.round(255 * _padded(grey, frame)).astype(np.uint8)),
            regions=tuple(_region(name, mask, frame) for name, mask in sorted(named, key=lambda own: own[0])),
            label=sample.label,
            strata={name: str(values[row]) for name, values in split.strata.items()},
        )


def _region(finding: str, mask: NDArray[np.bool_], frame: tuple[int, int]) -> Region:
    return Region(finding, run_lengths(_padded(mask.astype(np.float32), frame) > 0), int(mask.sum()))


def _padded(values: NDArray[np.float32], frame: tuple[int, int]) -> NDArray[np.float32]:
    """Pad at the bottom and on the right, like a student that pads incomplete patches."""
    missing = [(0, whole - own) for whole, own in zip(frame, values.shape, strict=True)]
    return np.pad(values, missing)


def _encoded(pixels: NDArray[np.uint8]) -> bytes:
    is_encoded, data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not is_encoded:
        raise OSError(f"Expected to encode an image of shape {pixels.shape} but could not.")
    return bytes(data)
