"""All checks of a data set, and the quick ones that open no image."""

from collections.abc import Collection, Mapping

from data_modules.base import PrivilegedDataModule
from data_modules.checks.contents import check_contents
from data_modules.checks.files import FileFacts, check_files, check_prepared, check_same_files, look_up
from data_modules.checks.images import check_images, rows_to_open
from data_modules.checks.labels import check_labels
from data_modules.checks.privileged import check_privileged
from data_modules.checks.report import DataReport, Problem, Severity, count_split
from data_modules.checks.splits import check_patients, check_splits, check_taken_out, rois_of_absent_labels
from data_modules.split import Split


def check_data(
    data: PrivilegedDataModule, max_images: int | None = 200, num_workers: int | None = None, deep: bool = False
) -> DataReport:
    """Check a data set.

    Args:
        data: The data module.
        max_images: Images to decode in each split, evenly spread, in addition to all with a region; None for all.
            Whether all files exist is always checked.
        num_workers: Processes that decode; by default one per processor, 0 for none.
        deep: Whether to compare the content of all image files as well.

    Returns:
        Counts and problems. If the reader fails, that is the only problem.
    """
    try:
        read = data.read_splits()
        splits = {name: read[name] for name in sorted(read, key=("train", "val", "test").index)}
    except (OSError, ValueError) as error:
        return DataReport(problems=(Problem("error", "reading", "", str(error)),))
    images = _look_up(data, splits)
    problems = [*_quick_problems(data, splits, images), *check_prepared(data, splits)]
    opened = 0
    for name, facts in images.items():
        rows = rows_to_open(splits[name], facts.exists.tolist(), max_images)
        problems += check_images(name, splits[name], rows, data.preparation, num_workers)
        opened += len(rows)
    if deep and images:
        problems += check_contents(splits, images, num_workers)
    counts = {name: count_split(split, data.label_names) for name, split in splits.items()}
    return DataReport(counts, tuple(problems), opened)


def quick_problems(
    data: PrivilegedDataModule, splits: Mapping[str, Split], tried: Collection[str] = ()
) -> list[Problem]:
    """Return the problems that can be found in seconds, without opening an image.

    Args:
        data: The data module.
        splits: Its splits, as training uses them.
        tried: Splits of which only a few samples are used, to try out a training; they may lack one value of a label.
    """
    return _quick_problems(data, splits, _look_up(data, splits), tried)


def _look_up(data: PrivilegedDataModule, splits: Mapping[str, Split]) -> dict[str, FileFacts]:
    return {name: look_up(split.image) for name, split in splits.items()} if data.load_images else {}


def _quick_problems(
    data: PrivilegedDataModule,
    splits: Mapping[str, Split],
    images: Mapping[str, FileFacts],
    tried: Collection[str] = (),
) -> list[Problem]:
    problems = [*check_splits(data, splits), *check_patients(splits), *check_taken_out(splits, data.label_names)]
    for name, split in splits.items():
        # in training and validation such a label breaks learning; in the test split, it only has no score
        severity: Severity = "warning" if name == "test" or name in tried else "error"
        problems += check_labels(name, split, data.label_names, severity)
        if data.load_privileged:
            problems += check_privileged(name, split, data.label_names)
        if not data.marks_absent_labels:
            problems += rois_of_absent_labels(name, split)
    for name, facts in images.items():
        problems += check_files(name, splits[name], facts)
    if images:
        problems += check_same_files(splits, images)
    return problems
