"""One data set class for all data: serves the rows of a `Split`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from data_modules.batch import Sample
from data_modules.geometry import Resize, fit_image, fit_mask, rasterise_boxes, resize_mask, same_aspect
from data_modules.images import GreyRange, ImageReadError, read_image, read_mask
from data_modules.samplers import Key
from data_modules.split import Roi, Split
from data_modules.transforms import SampleTransform

Image = NDArray[np.float32]
Masks = list[NDArray[np.bool_]]
Preprocess = Callable[[Image, Masks], tuple[Image, Masks]]


class PrivilegedDataset(Dataset[Sample]):
    """Samples of a split, with image, ROI masks and privileged input as asked for.

    Args:
        split: The rows.
        transform: Augmentation and normalisation.
        image_size: Side of the square network frame.
        resize: How an image is brought into that frame.
        load_images: Whether to read images and ROIs.
        load_privileged: Whether to serve reports and tables.
        preprocess: Applied to the image as read and to its masks, for example a crop.
        cache_images: Keep prepared images (float32, num_samples x image_size^2 x 4 bytes) in memory after the first
            read.
        grey_range: What becomes 0 and 1 in a DICOM file, see `read_image`.
    """

    def __init__(
        self,
        split: Split,
        transform: SampleTransform,
        image_size: int,
        resize: Resize,
        load_images: bool,
        load_privileged: bool,
        preprocess: Preprocess | None = None,
        cache_images: bool = False,
        grey_range: GreyRange = "observed",
    ) -> None:
        self.split, self.transform, self.image_size, self.resize = split, transform, image_size, resize
        self.load_images, self.load_privileged, self.preprocess = load_images, load_privileged, preprocess
        self.grey_range: GreyRange = grey_range
        shape = (len(split), image_size, image_size) if cache_images and load_images else (0, 0, 0)
        self._images = np.zeros(shape, dtype=np.float32)
        self._cached = np.zeros(shape[0], dtype=np.bool_)
        self._masks: dict[int, NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        split = self.split
        image, roi_mask, roi_label = None, None, None
        if self.load_images:
            prepared, roi_mask = self._prepared(index)
            image = self.transform(prepared, epoch, index)
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
            return self._images[index], self._masks.get(index, self._no_masks())
        image, masks = self._read(index)
        prepared = fit_image(image, self.image_size, self.resize)
        fitted = [fit_mask(mask, self.image_size, self.resize) for mask in masks]
        stacked = np.stack(fitted) if fitted else self._no_masks()
        if len(self._cached):
            self._images[index], self._cached[index] = prepared, True
            if fitted:
                self._masks[index] = stacked
        return prepared, stacked

    def _no_masks(self) -> NDArray[np.bool_]:
        return np.zeros((0, self.image_size, self.image_size), dtype=np.bool_)

    def _read(self, index: int) -> tuple[Image, Masks]:
        # a crop needs more pixels than the frame has, so only whole images are decoded at reduced resolution
        min_side = 0 if self.preprocess else self.image_size
        image, frame = read_image(self.split.image[index], min_side, self.grey_range)
        size = (image.shape[0], image.shape[1])
        rois = self.split.rois.get(index, ())
        for roi in rois:
            self._check_frame(roi, frame, index)
        masks = [_draw(roi, frame, size) for roi in rois]
        return self.preprocess(image, masks) if self.preprocess else (image, masks)

    def _check_frame(self, roi: Roi, frame: tuple[int, int], index: int) -> None:
        # cropped or squeezed copies of a data set are common, and boxes would silently point elsewhere on them
        if roi.frame is not None and not same_aspect(roi.frame, frame):
            raise ImageReadError(
                f"Expected '{self.split.image[index]}' to have the aspect ratio of the annotated image, "
                f"{roi.frame[0]} x {roi.frame[1]} (height x width), but it is {frame[0]} x {frame[1]}. Boxes cannot be "
                "placed on a cropped or squeezed copy: use the original image, or a copy resized with its aspect ratio."
            )


def _draw(roi: Roi, frame: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    mask = rasterise_boxes(roi.boxes, roi.frame or frame, size)
    for path in roi.masks:
        mask |= resize_mask(read_mask(path), size)
    return mask
