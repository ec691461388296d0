"""One data set class for all data: serves the rows of a `Split`."""

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from data_modules.batch import Sample
from data_modules.geometry import Placement
from data_modules.images import ImageReadError
from data_modules.preparation import Image, Preparation
from data_modules.prepared import PreparedImages
from data_modules.regions import draw_roi
from data_modules.samplers import Key
from data_modules.split import Split
from data_modules.transforms import SampleTransform


class PrivilegedDataset(Dataset[Sample]):
    """Samples of a split, with image, ROI masks and privileged input as asked for.

    Args:
        split: The rows.
        transform: Augmentation and normalisation.
        preparation: From a file to the network's frame.
        load_images: Whether to read images and ROIs.
        load_privileged: Whether to serve reports and tables.
        cache_images: Keep prepared images (float32, num_samples x image_size^2 x 4 bytes) in memory after the first
            read.
        prepared: Images of this split that were prepared before, or None to read the files.
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
        self.split, self.transform, self.preparation = split, transform, preparation
        self.load_images, self.load_privileged, self.prepared = load_images, load_privileged, prepared
        shape = (
            (len(split), preparation.image_size, preparation.image_size) if cache_images and load_images else (0, 0, 0)
        )
        self._images = np.zeros(shape, dtype=np.float32)
        self._cached = np.zeros(shape[0], dtype=np.bool_)
        self._masks: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key | int) -> Sample:
        """Return one sample.

        Args:
            key: Epoch and position in the split; a position alone is that of the first epoch, as samplers of PyTorch have it.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        split = self.split
        image, roi_mask, roi_label = None, None, None
        if self.load_images:
            prepared, masks = self._prepared(index)
            image, moved = self.transform(prepared, epoch, index, list(masks))
            roi_mask = np.stack(moved) if moved else masks
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

    def _prepared(self, index: int) -> tuple[Image, NDArray[np.bool_]]:
        """Return the image in the network frame, in [0, 1], and the masks (r, H, W) of its ROIs."""
        if len(self._cached) and self._cached[index]:
            return self._images[index], self._drawn(index)
        image, placement = self._read(index)
        if index in self.split.rois and index not in self._masks:
            # a mask file may have as many pixels as a film: it is read once, and kept with 8 pixels a byte
            self._masks[index] = np.packbits(self._draw(index, placement), axis=-1)
        if len(self._cached):
            self._images[index], self._cached[index] = image, True
        return image, self._drawn(index)

    def _drawn(self, index: int) -> NDArray[np.bool_]:
        side = self.preparation.image_size
        if index not in self._masks:
            return np.zeros((0, side, side), dtype=np.bool_)
        return np.unpackbits(self._masks[index], axis=-1, count=side).astype(np.bool_)

    def _read(self, index: int) -> tuple[Image, Placement]:
        return self.preparation(self.split.image[index]) if self.prepared is None else self.prepared.read(index)

    def _draw(self, index: int, placement: Placement) -> NDArray[np.bool_]:
        try:
            return np.stack([draw_roi(roi, placement) for roi in self.split.rois[index]])
        except ImageReadError as error:
            raise ImageReadError(
                f"Sample '{self.split.sample_id[index]}', '{self.split.image[index]}': {error}"
            ) from error
