"""Check that images can be read, and that regions lie on them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_modules.checks.report import Problem, Severity, sample_examples
from data_modules.images.geometry import Placement
from data_modules.images.image_file import ImageReadError, is_binary, read_image, used_range
from data_modules.images.mask_regions import MaskRegion
from data_modules.images.preparation import Image, Preparation
from data_modules.images.regions import Roi, draw_roi, lies_mirrored
from data_modules.processes.parallel import parallel
from data_modules.split import Split

# points per side of the grid on which regions in and around an image are sampled
GRID = 256
# the part of the grey scale that values of 14 bits reach in a file of 16, and that of 12 bits, which comes out nearly black
DIM = 1 / 4
BLACK = 1 / 16
_CHECKS: tuple[tuple[str, Severity, str, str], ...] = (
    ("unreadable", "error", "images", "Expected images that can be read but {n} cannot, for example: {first}"),
    ("unplaced", "error", "regions", "Expected regions that can be placed on their image but {n} cannot: {first}"),
    ("outside", "error", "regions", "Expected regions inside their image but {n} images have one that is outside or empty."),
    ("beyond", "warning", "regions", "Expected regions inside their image but {n} images have one that reaches beyond."),
    ("mirrored", "error", "regions", "Expected regions on the part of the image that is kept but {n} images have one beside "
     "it whose mirror image lies on it: they were drawn on mirrored copies."),
    ("vanished", "warning", "regions", "Expected regions of at least a pixel of the network's frame but {n} images have a "
     "smaller one, or one that the crop removes: its scores are undefined."),
    ("large", "warning", "regions", "Expected regions of less than half of their image but {n} images have a larger one. Is the "
     "mask inverted?"),
    ("itself", "warning", "regions", "Expected masks but {n} images have one that is the image itself."),
)  # fmt: skip


@dataclass(frozen=True)
class _Job:
    path: Path
    rois: tuple[Roi, ...]
    preparation: Preparation


@dataclass(frozen=True)
class _Seen:
    """Findings about one image; 0 or empty where nothing is wrong."""

    unreadable: str = ""
    unplaced: str = ""
    outside: int = 0
    beyond: int = 0
    vanished: int = 0
    mirrored: int = 0
    large: int = 0
    itself: int = 0
    brightest: float = 1.0


def check_images(
    name: str, split: Split, rows: Sequence[int], preparation: Preparation, num_workers: int | None
) -> Iterator[Problem]:
    """Decode images of a split, place their regions, and yield the problems.

    Args:
        name: Name of the split.
        split: The split.
        rows: Samples whose image exists and is to be decoded.
        preparation: Turns an image file into the network's frame.
        num_workers: Processes; by default one per processor, 0 for none.
    """
    jobs = [_Job(split.image[row], split.rois.get(row, ()), preparation) for row in rows]
    seen = list(parallel(_look, jobs, num_workers, f"images of {name}")) if jobs else []
    for attribute, severity, check, text in _CHECKS:
        hit = [(row, getattr(own, attribute)) for row, own in zip(rows, seen, strict=True) if getattr(own, attribute)]
        if hit:
            message = text.format(n=len(hit), first=hit[0][1])
            yield Problem(severity, check, name, message, len(hit), sample_examples(split, [row for row, _ in hit]))
    yield from _check_scale(name, split, {row: own.brightest for row, own in zip(rows, seen, strict=True)})


def _check_scale(name: str, split: Split, brightest: Mapping[int, float]) -> Iterator[Problem]:
    """Yield images that use little of their grey scale: single ones that are nearly black, or all if none is bright."""
    limit = DIM if max(brightest.values(), default=1) <= DIM else BLACK
    rows = [row for row, value in brightest.items() if value <= limit]
    if rows:
        highest = max(brightest[row] for row in rows)
        message = (
            f"Expected images that use the grey scale of their files but {len(rows)} of {len(brightest)} use 0 to {highest:.4g} "
            f"of 1{_in_bits(highest)}: they come out dark. Set data.grey_range to observed, or save them on the whole scale."
        )
        yield Problem("warning", "images", name, message, len(rows), sample_examples(split, rows))


def rows_to_open(split: Split, exists: Sequence[bool], max_images: int | None) -> list[int]:
    """Return the samples whose images are decoded: all with a region, and an evenly spread selection of the others."""
    number = len(split) if max_images is None else min(max_images, len(split))
    spread = np.linspace(0, len(split) - 1, number).round().astype(int).tolist() if number else []
    return [row for row in sorted({*spread, *split.rois}) if exists[row]]


def _look(job: _Job) -> _Seen:
    """Decode one image and place its regions; runs in a process of its own."""
    try:
        image, placement = job.preparation(job.path)
        brightest = _brightest(job.path, image)
    except ImageReadError as error:
        return _Seen(unreadable=str(error))
    outside = beyond = vanished = mirrored = large = itself = 0
    try:
        for roi in job.rois:
            drawn = bool(draw_roi(roi, placement).any())
            inside, around = _extent(roi, placement)
            outside += not inside and not drawn
            beyond += bool(around and inside)
            exchanged = not drawn and lies_mirrored(roi, placement)
            mirrored += exchanged
            vanished += bool(inside and not drawn and not exchanged)
            large += inside > 0.5
            itself += any(_is_image(region.path, job.path) for region in roi.regions if isinstance(region, MaskRegion))
    except (ImageReadError, ValueError) as error:
        return _Seen(unplaced=str(error), brightest=brightest)
    return _Seen("", "", outside, beyond, vanished, mirrored, large, itself, brightest)


def _brightest(path: Path, image: Image) -> float:
    """Return the brightest pixel of a file as a fraction of its grey scale; 1 if the prepared image is bright enough."""
    if image.max() > DIM:
        return 1.0
    return used_range(path)[1]


def _extent(roi: Roi, placement: Placement) -> tuple[float, bool]:
    """Return the share of the image that a region covers, and whether it reaches beyond by up to half the image's size."""
    frame = roi.frame or placement.frame
    # in sizes of the image, from half of one before its edge to half of one beyond the other edge
    unit = (np.arange(2 * GRID) + 0.5) / GRID - 0.5
    mask = np.zeros((2 * GRID, 2 * GRID), dtype=np.bool_)
    for region in roi.regions:
        mask |= region.draw(unit * frame[1], unit * frame[0], frame)
    centre = slice(GRID // 2, GRID // 2 + GRID)
    inside = int(mask[centre, centre].sum())
    return inside / GRID**2, int(mask.sum()) > inside


def _is_image(mask: Path, image: Path) -> bool:
    """Return whether a mask file shows what the image file shows."""
    if mask.samefile(image):
        return True
    drawn, _ = read_image(mask)
    if is_binary(drawn):
        return False
    shown, _ = read_image(image)
    # formats and compression change grey values a little
    return shown.shape == drawn.shape and bool(np.allclose(shown, drawn, atol=0.02))


def _in_bits(brightest: float) -> str:
    """Return a note on the bits in use if a 16 bit file seems to hold values of 8 to 14 bits."""
    bits = round(brightest * (2**16 - 1)).bit_length()
    return f", as values of {bits} bits do in 16" if 8 <= bits <= 14 else ""
