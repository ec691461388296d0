"""Regions of interest, drawn directly into the network's frame; see `mask_regions` for masks.

A pixel belongs to a region if its centre does. Regions are never rasterised at another resolution, so nothing is lost to
reduced decoding, cropping or resizing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data_modules.images.geometry import Box, Placement, Size
from data_modules.images.mask_regions import Axis, check_scale


class Region(Protocol):
    """An annotated region of an image."""

    def draw(self, xs: Axis, ys: Axis, frame: Size) -> NDArray[np.bool_]:
        """Return which points of a grid belong to the region.

        Args:
            xs: (W,) positions in pixels of the annotated image, in any order.
            ys: (H,) positions.
            frame: (height, width) of the annotated image.

        Returns:
            Bool (H, W).
        """
        ...


@dataclass(frozen=True)
class BoxRegion:
    """A half-open box; see `to_xyxy` for all conventions.

    Attributes:
        box: (x0, y0, x1, y1).
        normalised: Whether they are fractions of the image's width and height rather than pixels.
    """

    box: Box
    normalised: bool = False

    def draw(self, xs: Axis, ys: Axis, frame: Size) -> NDArray[np.bool_]:
        """Return which points lie in the box."""
        height, width = frame if self.normalised else (1, 1)
        # the outer product of an interval of rows and one of columns
        x0, y0, x1, y1 = np.array(self.box) * (width, height, width, height)
        return np.asarray(((ys >= y0) & (ys < y1))[:, None] & ((xs >= x0) & (xs < x1))[None, :], dtype=np.bool_)


@dataclass(frozen=True)
class EllipseRegion:
    """The ellipse inscribed in a box (x0, y0, x1, y1); the box may reach beyond the image."""

    box: Box

    def draw(self, xs: Axis, ys: Axis, frame: Size) -> NDArray[np.bool_]:
        """Return which points lie in the ellipse."""
        del frame
        x0, y0, x1, y1 = self.box
        if x1 <= x0 or y1 <= y0:
            return np.zeros((len(ys), len(xs)), dtype=np.bool_)
        # positions from -1 to 1 across the box
        u = (2 * xs - x0 - x1) / (x1 - x0)
        v = (2 * ys - y0 - y1) / (y1 - y0)
        return np.asarray(v[:, None] ** 2 + u[None, :] ** 2 <= 1, dtype=np.bool_)


@dataclass(frozen=True)
class PolygonRegion:
    """A closed polygon, filled by the even-odd rule.

    Attributes:
        points: Corners as (x, y); the last is joined to the first. Fewer than three enclose nothing.
    """

    points: tuple[tuple[float, float], ...]

    def draw(self, xs: Axis, ys: Axis, frame: Size) -> NDArray[np.bool_]:
        """Return which points lie inside."""
        del frame
        mask = np.zeros((len(ys), len(xs)), dtype=np.bool_)
        if len(self.points) < 3:
            return mask
        start = np.asarray(self.points, dtype=np.float64)  # (P, 2), and edges from start to end
        end = np.roll(start, -1, axis=0)
        for row, y in enumerate(ys):
            # half-open edges: a scan line through a corner crosses one of its two edges
            crossing = (start[:, 1] <= y) != (end[:, 1] <= y)
            a = start[crossing]
            b = end[crossing]
            # a point is inside if an odd number of edges crosses its line on the left
            at = np.sort(a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]))
            mask[row] = np.searchsorted(at, xs, side="right") % 2 == 1
        return mask


@dataclass(frozen=True)
class MirroredRegion:
    """A region that was drawn on a copy of the image with left and right exchanged: x becomes width - x.

    Attributes:
        region: The region on the mirrored copy.
    """

    region: Region

    def draw(self, xs: Axis, ys: Axis, frame: Size) -> NDArray[np.bool_]:
        """Return which points lie in the region once it is mirrored back."""
        return self.region.draw(frame[1] - xs, ys, frame)


@dataclass(frozen=True)
class Roi:
    """The annotated region of one (image, finding) pair: the union of all its parts.

    Attributes:
        label: Index of the finding among the K labels.
        regions: The parts.
        frame: (height, width) of the image that they were drawn on. The image file may be a copy of it at another scale.
            None if they were drawn on the image file itself, or are fractions of it.
        squeezed: Whether the file shows the whole annotated image in other proportions: regions are then placed by their
            fractions of its height and width.
    """

    label: int
    regions: tuple[Region, ...] = ()
    frame: Size | None = None
    squeezed: bool = False


def boxes(xyxy: Sequence[Box]) -> tuple[BoxRegion, ...]:
    """Return one region per box."""
    return tuple(BoxRegion(box) for box in xyxy)


def join_regions(
    rows: Iterable[tuple[str, str, Region]],
    label_names: Sequence[str],
    frames: Mapping[str, Size],
    squeezed: bool = False,
) -> dict[str, tuple[Roi, ...]]:
    """Join the regions of each image and finding; findings that are not among the labels are left out.

    Args:
        rows: Image, finding and region.
        label_names: The K labels.
        frames: (height, width) of the annotated images that are known.
        squeezed: Whether the image files show the annotated images in other proportions.

    Returns:
        ROIs by image.
    """
    number = {name: position for position, name in enumerate(label_names)}
    parts: dict[str, dict[int, list[Region]]] = {}
    for image, finding, region in rows:
        if finding in number:
            parts.setdefault(image, {}).setdefault(number[finding], []).append(region)
    rois: dict[str, tuple[Roi, ...]] = {}
    for image, by_label in parts.items():
        frame = frames.get(image)
        rois[image] = tuple(Roi(label, tuple(own), frame, squeezed) for label, own in sorted(by_label.items()))
    return rois


def draw_roi(roi: Roi, placement: Placement) -> NDArray[np.bool_]:
    """Draw an ROI in the frame of the network.

    Args:
        roi: The ROI.
        placement: Where the image file lies in that frame.

    Returns:
        Bool (side, side), False in the padding; parts outside the crop are cut off.

    Raises:
        ImageReadError: If the file is not the annotated image at another scale, or a mask cannot be read.
    """
    frame = roi.frame or placement.frame
    if not roi.squeezed:
        check_scale("the image", placement.frame, frame)
    xs, ys = placement.centres()
    # from pixels of the file to pixels of the annotated image, which may have another size
    xs = xs * frame[1] / placement.frame[1]
    ys = ys * frame[0] / placement.frame[0]
    mask = np.zeros((len(ys), len(xs)), dtype=np.bool_)
    for region in roi.regions:
        mask |= region.draw(xs, ys, frame)
    return placement.pad(mask)


def mirror(roi: Roi) -> Roi:
    """Return an ROI with left and right of its image exchanged."""
    return replace(roi, regions=tuple(MirroredRegion(region) for region in roi.regions))


def lies_mirrored(roi: Roi, placement: Placement) -> bool:
    """Return whether a crop removed a whole ROI but would have kept its mirror image.

    If images are cropped to the breast, the region then lies in the background on the other side, because it was drawn on a
    copy with left and right exchanged.
    """
    return not draw_roi(roi, placement).any() and bool(draw_roi(mirror(roi), placement).any())
