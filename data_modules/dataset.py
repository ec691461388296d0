"""The PyTorch data set that serves the rows of a `Split`, whatever the data."""

import hashlib
import math

import numpy as np
from numpy.typing import DTypeLike, NDArray
from torch.utils.data import Dataset

from data_modules.batch import Sample
from data_modules.images.geometry import Placement
from data_modules.images.image_file import ImageReadError
from data_modules.images.preparation import Image, Preparation
from data_modules.images.prepared import PreparedImages
from data_modules.images.regions import draw_roi
from data_modules.images.stored_pixels import for_torch, in_unit_range
from data_modules.images.transforms import SampleTransform
from data_modules.processes.shared_arrays import SharedArrays
from data_modules.processes.shared_cache import SharedCache
from data_modules.samplers import Key
from data_modules.split import Split


class PrivilegedDataset(SharedArrays, Dataset[Sample]):
    """Samples of a split, with images, ROI masks and privileged input as requested.

    Its arrays are in memory once, however many loader processes there are and however they are started.

    Attributes:
        as_stored: Whether to serve the pixels of prepared images as they are stored, for whoever augments and normalises them
            later; False at first.

    Args:
        split: The rows.
        transform: Augmentation and normalisation.
        preparation: Turns an image file into the network's frame.
        load_images: Whether to read images and ROIs.
        load_privileged: Whether to serve reports and tables.
        cache_images: Keep images in memory after the first read, 4 bytes a pixel, or 1 or 2 if they are `prepared`; all loader
            processes share them, and so do all runs of a study on one machine.
        prepared: Prepared images of this split, or None to read the image files.
    """

    def __init__(
        self,
        split: Split,
        transform: SampleTransform,
        preparation: Preparation,
        load_images: bool,
        load_privileged: bool,
        cache_images: bool = False,
        prepared: PreparedImages | None = None,
    ) -> None:
        self.as_stored = False
        self.split = split
        self.transform = transform
        self.preparation = preparation
        self.load_images = load_images
        self.load_privileged = load_privileged
        self.prepared = prepared
        pixels = preparation.image_size**2
        self._images = None
        if cache_images and load_images:
            num_bytes = 4 * pixels if prepared is None else prepared.bytes_per_image
            self._images = SharedCache(np.full(len(split), num_bytes), _name(split, preparation, prepared))
        # Mask files can be as large as films (5,000 pixels a side), so each is read once and kept with 8 pixels per byte.
        num_rois = np.zeros(len(split), dtype=np.int64)
        for index, rois in split.rois.items():
            num_rois[index] = len(rois)
        self._masks = SharedCache(num_rois * math.ceil(pixels / 8))

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key | int) -> Sample:
        """Return one sample.

        Args:
            key: Epoch and position in the split; a position alone, as samplers of PyTorch yield it, means the first epoch.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        split = self.split
        image = None
        roi_mask = None
        roi_label = None
        if self.load_images:
            pixels, masks = self._in_frame(index)
            image, roi_mask = self._transformed(pixels, masks, epoch, index)
            roi_label = np.array([roi.label for roi in split.rois.get(index, ())], dtype=np.int64)
        table = split.table if self.load_privileged else None
        return Sample(
            label=split.label[index],
            index=index,
            sample_id=str(split.sample_id[index]),
            patient_id=str(split.patient_id[index]),
            image=image,
            report=split.report[index] if self.load_privileged and split.report is not None else None,
            numeric=None if table is None else table.numeric[index],
            categorical=None if table is None else table.categorical[index],
            has_privileged=bool(split.has_privileged[index]) if self.load_privileged else None,
            roi_mask=roi_mask,
            roi_label=roi_label,
        )

    def _transformed(
        self, pixels: NDArray[np.generic], masks: NDArray[np.bool_], epoch: int, index: int
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        if self.as_stored:
            return for_torch(pixels)[None], masks
        image, moved = self.transform(self._grey(pixels), epoch, index, list(masks))
        return image, np.stack(moved) if moved else masks

    def _grey(self, pixels: NDArray[np.generic]) -> Image:
        return in_unit_range(pixels) if self.prepared is not None else pixels.astype(np.float32, copy=False)

    def _in_frame(self, index: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Return the image in the network frame, as stored or in [0, 1], and the masks (r, H, W) of its ROIs."""
        side = self.preparation.image_size
        kept = None if self._images is None else self._images.get(index)
        packed = self._masks.get(index)
        # the masks are placed by the geometry of the file, so it is read again unless both are known
        if kept is not None and packed is not None:
            return kept.view(self._dtype).reshape(side, side), self._unpacked(packed)
        image, placement = self._read(index)
        if packed is None:
            # (r, H*W) to 8 pixels per byte
            packed = np.packbits(self._draw(index, placement).reshape(-1, side**2), axis=-1).reshape(-1)
            self._masks.put(index, packed)
        if self._images is not None:
            self._images.put(index, np.ascontiguousarray(image, dtype=self._dtype).reshape(-1).view(np.uint8))
        return image, self._unpacked(packed)

    def _unpacked(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        side = self.preparation.image_size
        rows = packed.reshape(-1, math.ceil(side**2 / 8))  # (r, bytes of a mask)
        return np.unpackbits(rows, axis=-1, count=side**2).reshape(-1, side, side).astype(np.bool_)

    @property
    def _dtype(self) -> DTypeLike:
        return np.float32 if self.prepared is None else self.prepared.meta.depth

    def _read(self, index: int) -> tuple[NDArray[np.generic], Placement]:
        return self.preparation(self.split.image[index]) if self.prepared is None else self.prepared.read_stored(index)

    def _draw(self, index: int, placement: Placement) -> NDArray[np.bool_]:
        try:
            return np.stack([draw_roi(roi, placement) for roi in self.split.rois[index]])
        except ImageReadError as error:
            raise ImageReadError(
                f"Sample '{self.split.sample_id[index]}', '{self.split.image[index]}': {error}"
            ) from error


def _name(split: Split, preparation: Preparation, prepared: PreparedImages | None) -> str:
    """Return a name of the prepared images of a split: a hash of all that decides what they are."""
    digest = hashlib.sha256(f"{preparation!r}{None if prepared is None else prepared.folder}".encode())
    for file in split.image:
        digest.update(f"{file}\n".encode())
    return f"{digest.hexdigest()}.images"
