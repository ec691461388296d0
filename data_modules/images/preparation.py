"""From an image file to the frame of the network: what is done once per image, and can therefore be kept."""

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
    """What is done to an image before it is resized: grey values, and the window to keep.

    Its `repr` must name every setting: it is part of the fingerprint of prepared images.
    """

    def __call__(self, image: Image) -> tuple[Image, Window]:
        """Process one image.

        Args:
            image: Float32 (h, w) in [0, 1].

        Returns:
            Float32 (h, w) in [0, 1] of the same size, and the window of it that is kept.
        """
        ...


@dataclass(frozen=True)
class Preparation:
    """Reads, crops and resizes images.

    Attributes:
        image_size: Side of the square network frame.
        resize: How an image is brought into that frame.
        grey_range: What becomes 0 and 1 in a DICOM or 16 bit file, see `read_image`.
        preprocess: Grey values and crop, or None.
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
        # A crop needs more pixels than the frame has, so only whole images are decoded at reduced resolution; at twice
        # the size of the frame, the rounding of the decoder's sizes stays below half a pixel.
        image, frame = read_image(path, 0 if self.preprocess else 2 * self.image_size, self.grey_range)
        size = (image.shape[0], image.shape[1])
        window = whole(size)
        if self.preprocess is not None:
            image, window = self.preprocess(image)
        placement = place(frame, window.scaled(size, frame), self.image_size, self.resize)
        return placement.image(image), placement

    def describe(self) -> dict[str, Any]:
        """Return the settings as primitives, for a checkpoint whose student sees new images in the same way.

        Raises:
            TypeError: If the preprocessing is no dataclass, whose fields are its settings.
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
        """Return what `describe` described.

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
            f"Expected preprocessing to be a dataclass, so that it can be kept, but {kind.__name__} is none."
        )
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "fields": asdict(preprocess)}
