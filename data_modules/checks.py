"""What is wrong with a data set, found before anything is trained on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_modules.base import PrivilegedDataModule
from data_modules.geometry import Placement
from data_modules.images import ImageReadError
from data_modules.labels import stated_values
from data_modules.parallel import parallel
from data_modules.preparation import Preparation
from data_modules.regions import Roi, draw_roi, lies_mirrored
from data_modules.split import Split

NUM_EXAMPLES = 5
# points a side of the grid on which regions are looked for around an image
GRID = 256


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        severity: `error`: training or scores would be wrong or fail; `warning`: worth a look.
        check: What was checked.
        split: Where, or an empty string.
        message: What was expected and what was found.
        count: How many samples, patients or regions.
        examples: Identifiers of at most five.
    """

    severity: Literal["error", "warning"]
    check: str
    split: str
    message: str
    count: int = 1
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataReport:
    """What a data set holds, and what is wrong with it.

    Attributes:
        splits: Counts by split: samples, patients, labels, strata, regions, and what the reader kept and dropped.
        problems: What is wrong.
        num_opened: Images that were decoded.
    """

    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    num_opened: int = 0

    @property
    def num_errors(self) -> int:
        """Number of problems that are errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        problems = [asdict(problem) for problem in self.problems]
        return {
            "num_errors": self.num_errors,
            "num_opened": self.num_opened,
            "splits": dict(self.splits),
            "problems": problems,
        }


def check_data(data: PrivilegedDataModule, max_images: int | None = 200, num_workers: int | None = None) -> DataReport:
    """Check a data set.

    Args:
        data: The data module.
        max_images: Images to decode in each split, evenly spread, beside all that have a region; None for all. That
            every file exists is always checked.
        num_workers: Processes that decode; as many as there are processors by default, 0 for none.

    Returns:
        Counts and problems. A reader that fails is one problem, and the only one.
    """
    try:
        read = data.read_splits()
        splits = {name: read[name] for name in sorted(read, key=("train", "val", "test").index)}
    except (OSError, ValueError) as error:
        return DataReport(problems=(Problem("error", "reading", "", str(error)),))
    problems = [*_check_splits(data, splits), *_check_patients(splits)]
    for name, split in splits.items():
        problems += [*_check_labels(name, split, data.label_names), *_check_privileged(name, split)]
    opened = 0
    if data.load_images:
        for name, split in splits.items():
            found, number = _check_images(name, split, data.preparation, max_images, num_workers)
            problems += found
            opened += number
    counts = {name: count_split(split, data.label_names) for name, split in splits.items()}
    return DataReport(counts, tuple(problems), opened)


def count_split(split: Split, label_names: Sequence[str]) -> dict[str, Any]:
    """Count what a split holds."""
    regions = [roi.label for rois in split.rois.values() for roi in rois]
    return {
        "samples": len(split),
        "patients": len(set(split.patient_id.tolist())),
        "with_privileged": int(split.has_privileged.sum()),
        "with_roi": len(split.rois),
        "labels": {
            name: {
                "present": int((column == 1).sum()),
                "absent": int((column == 0).sum()),
                "not_stated": int(np.isnan(column).sum()),
                "roi": regions.count(number),
            }
            for number, (name, column) in enumerate(zip(label_names, split.label.T, strict=True))
        },
        "strata": {name: _count_values(values.tolist()) for name, values in split.strata.items()},
        "reader": dict(split.counts),
    }


def _count_values(values: Sequence[str]) -> dict[str, int]:
    unique, count = np.unique(values, return_counts=True)
    return {str(value) or "unknown": int(number) for value, number in zip(unique, count, strict=True)}


def _check_splits(data: PrivilegedDataModule, splits: Mapping[str, Split]) -> Iterator[Problem]:
    for name in data.expected_splits:
        if not len(splits.get(name, ())):
            yield Problem("error", "splits", name, "Expected samples but there are none.", 0)
    rois = splits["train"].rois if "train" in splits else {}
    if rois:
        message = "Expected no region in training but there are some: localization would not be zero-shot."
        yield Problem("error", "splits", "train", message, len(rois), _examples(splits["train"], list(rois)))


def _check_patients(splits: Mapping[str, Split]) -> Iterator[Problem]:
    for first, second in combinations(splits, 2):
        shared = np.intersect1d(splits[first].patient_id, splits[second].patient_id)
        if len(shared):
            message = f"Expected every patient in one split but {len(shared)} are also in '{second}'."
            yield Problem("error", "patients", first, message, len(shared), tuple(map(str, shared[:NUM_EXAMPLES])))


def _check_labels(name: str, split: Split, label_names: Sequence[str]) -> Iterator[Problem]:
    severity: Literal["error", "warning"] = "error" if name == "train" else "warning"
    for label, column in zip(label_names, split.label.T, strict=True):
        values, count = stated_values(column), int((~np.isnan(column)).sum())
        if not values:
            yield Problem(severity, "labels", name, f"Expected values of '{label}' but none is stated.", len(column))
        elif len(values) == 1:
            message = f"Expected both values of '{label}' but all {count} stated ones are {values[0]:g}."
            yield Problem(severity, "labels", name, message, count)


def _check_privileged(name: str, split: Split) -> Iterator[Problem]:
    if name == "train" and len(split) and not split.has_privileged.any():
        yield Problem(
            "error", "privileged", name, "Expected reports or tables to train a teacher on but no sample has one.", 0
        )
    table = split.table
    if name == "train" and table is not None:
        columns = np.concatenate([table.numeric, table.categorical], axis=1)
        for column, values in zip((*table.numeric_names, *table.categorical_names), columns.T, strict=True):
            known = values[~np.isnan(values)]
            if not len(known) or known.min() == known.max():
                message = f"Expected privileged column '{column}' to vary but it is constant or empty."
                yield Problem("warning", "privileged", name, message, len(known))


@dataclass(frozen=True)
class _Image:
    path: Path
    rois: tuple[Roi, ...]
    preparation: Preparation


@dataclass(frozen=True)
class _Seen:
    unreadable: str = ""
    outside: int = 0
    beyond: int = 0
    vanished: int = 0
    mirrored: int = 0
    unplaced: str = ""


def _check_images(
    name: str, split: Split, preparation: Preparation, max_images: int | None, num_workers: int | None
) -> tuple[list[Problem], int]:
    missing = [row for row, path in enumerate(split.image) if not path.is_file()]
    problems = []
    if missing:
        example = split.image[missing[0]]
        message = f"Expected all {len(split)} image files but {len(missing)} do not exist, for example '{example}'."
        problems.append(Problem("error", "files", name, message, len(missing), _examples(split, missing)))
    number = len(split) if max_images is None else min(max_images, len(split))
    spread = np.linspace(0, len(split) - 1, number).round().astype(int).tolist() if number else []
    rows = sorted({*spread, *split.rois} - set(missing))
    jobs = [_Image(split.image[row], split.rois.get(row, ()), preparation) for row in rows]
    seen = list(parallel(_look, jobs, num_workers, f"images of {name}")) if jobs else []
    checks: tuple[tuple[str, Literal["error", "warning"], str, str], ...] = (
        ("unreadable", "error", "images", "Expected images that can be read but {n} cannot, for example: {first}"),
        ("unplaced", "error", "regions", "Expected regions that can be placed on their image but {n} cannot: {first}"),
        ("outside", "error", "regions", "Expected regions inside their image but {n} images have one that is outside or empty."),
        ("beyond", "warning", "regions", "Expected regions inside their image but {n} images have one that reaches beyond."),
        ("mirrored", "error", "regions", "Expected regions on the part of the image that is kept but {n} images have one beside "
         "it whose mirror image lies on it: they were drawn on mirrored copies."),
        ("vanished", "warning", "regions", "Expected regions of at least a pixel of the network's frame but {n} images have a "
         "smaller one, or one that the crop removes: its scores are undefined."),
    )  # fmt: skip
    for attribute, severity, check, text in checks:
        hit = [(row, getattr(s, attribute)) for row, s in zip(rows, seen, strict=True) if getattr(s, attribute)]
        if hit:
            message = text.format(n=len(hit), first=hit[0][1])
            problems.append(
                Problem(severity, check, name, message, len(hit), _examples(split, [row for row, _ in hit]))
            )
    return problems, len(jobs)


def _look(image: _Image) -> _Seen:
    """Decode one image and place its regions; runs in a process of its own."""
    try:
        _, placement = image.preparation(image.path)
    except ImageReadError as error:
        return _Seen(unreadable=str(error))
    outside = beyond = vanished = mirrored = 0
    try:
        for roi in image.rois:
            drawn = bool(draw_roi(roi, placement).any())
            inside, around = _extent(roi, placement)
            outside += not inside and not drawn
            beyond += around and inside
            exchanged = not drawn and lies_mirrored(roi, placement)
            mirrored += exchanged
            vanished += inside and not drawn and not exchanged
    except (ImageReadError, ValueError) as error:
        return _Seen(unplaced=str(error))
    return _Seen(outside=outside, beyond=beyond, vanished=vanished, mirrored=mirrored)


def _extent(roi: Roi, placement: Placement) -> tuple[bool, bool]:
    """Return whether a region has points in the image, and around it up to half of its size."""
    frame = roi.frame or placement.frame
    unit = (np.arange(2 * GRID) + 0.5) / GRID - 0.5
    mask = np.zeros((2 * GRID, 2 * GRID), dtype=np.bool_)
    for region in roi.regions:
        mask |= region.draw(unit * frame[1], unit * frame[0], frame)
    centre = slice(GRID // 2, GRID // 2 + GRID)
    inside = int(mask[centre, centre].sum())
    return inside > 0, int(mask.sum()) > inside


def _examples(split: Split, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(split.sample_id[row]) for row in rows[:NUM_EXAMPLES])
