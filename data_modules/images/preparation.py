"""Prepare an image: read the file, preprocess it (for example, crop it to the breast), and resize it to the network's frame.

Nothing here is random, so that prepared images can be stored.
"""

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_modules.images.geometry import Placement, Resize, Window, place, whole
from data_modules.images.image_file import GreyRange, read_image

Image = NDArray[np.float32]


class Preprocess(Protocol):
    """The step before an image is resized: it changes grey values and chooses the window to keep.

    Its `repr` must name every setting, because it is part of the fingerprint of prepared images.
    """

    def __call__(self, image: Image) -> tuple[Image, Window]:
        """Preprocess one image.

        Args:
            image: Float32 (h, w) in [0, 1].

        Returns:
            Float32 (h, w) in [0, 1] of the same size, and the window of it that is kept.
        """
        ...


@dataclass(frozen=True)
class Preparation:
    """Reads, preprocesses and resizes images.

    Attributes:
        image_size: Side of the square network frame.
        resize: `stretch` to the frame, or `pad` to keep the aspect ratio.
        grey_range: Grey values that become 0 and 1 in a DICOM or 16 bit file, see `read_image`.
        preprocess: The step before resizing, or None.
    """

    image_size: int
    resize: Resize = "stretch"
    grey_range: GreyRange = "observed"
    preprocess: Preprocess | None = None

    def __call__(self, path: Path) -> tuple[Image, Placement]:
        """Prepare one file.

        Returns:
            Float32 (image_size, image_size) in [0, 1], and where the file lies in it.

        Raises:
            ImageReadError: If the file cannot be read completely.
        """
        # A crop is enlarged, so only whole images are decoded at reduced resolution. At twice the size of the frame, the
        # rounding of the decoder's sizes stays below half a pixel.
        image, frame = read_image(path, 0 if self.preprocess else 2 * self.image_size, self.grey_range)
        size = (image.shape[0], image.shape[1])
        window = whole(size)
        if self.preprocess is not None:
            image, window = self.preprocess(image)
        placement = place(frame, window.scaled(size, frame), self.image_size, self.resize)
        return placement.image(image), placement

    def describe(self) -> dict[str, Any]:
        """Return the settings as primitives, for a checkpoint, so that its student sees new images in the same way.

        Raises:
            TypeError: If `preprocess` is not a dataclass, whose fields are its settings.
        """
        settings: dict[str, Any] = {
            "image_size": self.image_size,
            "resize": self.resize,
            "grey_range": self.grey_range,
            "preprocess": None,
        }
        if self.preprocess is not None:
            settings["preprocess"] = _described(self.preprocess)
        return settings

    @classmethod
    def from_description(cls, settings: Mapping[str, Any]) -> "Preparation":
        """Return the preparation that `describe` described.

        Raises:
            ValueError: If the preprocessing is not of this package: a checkpoint must not name code to run.
        """
        described = settings["preprocess"]
        preprocess: Preprocess | None = None
        if described is not None:
            module, _, name = described["class"].rpartition(".")
            if module.split(".")[0] != __name__.split(".")[0]:
                raise ValueError(
                    f"Expected preprocessing of this package but the checkpoint names '{described['class']}'."
                )
            kind = getattr(importlib.import_module(module), name)
            values = {key: tuple(v) if isinstance(v, list) else v for key, v in described["fields"].items()}
            preprocess = kind(**values)
        return cls(settings["image_size"], settings["resize"], settings["grey_range"], preprocess)


def _described(preprocess: Any) -> dict[str, Any]:
    kind = type(preprocess)
    if not is_dataclass(kind):
        raise TypeError(
            f"Expected preprocessing to be a dataclass, so that it can be stored, but {kind.__name__} is not one."
        )
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "fields": asdict(preprocess)}
