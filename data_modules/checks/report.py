"""Results of the checks of a data set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from data_modules.split import Split

NUM_EXAMPLES = 5
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        severity: `error` if training or scores would fail or be wrong; `warning` if it is worth a look.
        check: Name of the check.
        split: Split that has the problem, or an empty string.
        message: Expected and actual state, without identifiers of samples and patients.
        count: Number of samples, patients or regions.
        examples: At most five identifiers.
        example_file: Path of an affected file, or an empty string.
    """

    severity: Severity
    check: str
    split: str
    message: str
    count: int = 1
    examples: tuple[str, ...] = ()
    example_file: str = ""

    def __str__(self) -> str:
        """Return check, split and message."""
        return f"{self.check}{f' in {self.split}' if self.split else ''}: {self.message}"


@dataclass(frozen=True)
class DataReport:
    """Contents of a data set, and its problems.

    Attributes:
        splits: Counts by split: samples, patients, labels, strata, regions, and what the reader kept and dropped.
        problems: The problems.
        num_opened: Number of images that were decoded.
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


def examples(names: Iterable[object]) -> tuple[str, ...]:
    """Return the first of some names."""
    return tuple(str(name) for name in list(names)[:NUM_EXAMPLES])


def sample_examples(split: Split, rows: Sequence[int]) -> tuple[str, ...]:
    """Return the identifiers of the first of some samples."""
    return examples(split.sample_id[list(rows[:NUM_EXAMPLES])])


def count_split(split: Split, label_names: Sequence[str]) -> dict[str, Any]:
    """Count samples, patients, labels, strata and regions of a split."""
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
