"""Check that splits have samples, share no patient, and keep localization zero-shot."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import combinations

from data_modules.base import PrivilegedDataModule
from data_modules.checks.report import Problem, examples, sample_examples
from data_modules.split import Split, expected_splits, taken_out

# fewer positives, or fewer images with a region, are too few to learn from or to score
FEW = 20
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def check_splits(data: PrivilegedDataModule, splits: Mapping[str, Split]) -> Iterator[Problem]:
    """Yield splits without samples, and training splits with a region."""
    expected = expected_splits(splits)
    if "train" not in expected and not data.only_tests:
        message = f"Expected samples to train on but all are of the test split. Check {data.source_settings}."
        yield Problem("warning", "splits", "train", message, 0)
    for name in expected:
        if not len(splits.get(name, ())):
            message = f"Expected samples but there are none. Check {data.source_settings}."
            yield Problem("error", "splits", name, message, 0)
    rois = splits["train"].rois if "train" in splits else {}
    if rois:
        message = "Expected no region in training but there are some: localization would not be zero-shot."
        yield Problem("error", "splits", "train", message, len(rois), sample_examples(splits["train"], list(rois)))


def check_patients(splits: Mapping[str, Split]) -> Iterator[Problem]:
    """Yield patients who are in two splits, under the same name or a similar spelling."""
    patients = {name: set(split.patient_id.tolist()) for name, split in splits.items()}
    spelled = {name: dict(zip(map(_spelling, own), own, strict=True)) for name, own in patients.items()}
    for first, second in combinations(splits, 2):
        shared = sorted(patients[first] & patients[second])
        if shared:
            message = f"Expected every patient in one split but {len(shared)} are also in '{second}'."
            yield Problem("error", "patients", first, message, len(shared), examples(shared))
        alike = sorted(
            f"{spelled[first][key]} and {spelled[second][key]}"
            for key in spelled[first].keys() & spelled[second].keys()
            if spelled[first][key] not in patients[second] and spelled[second][key] not in patients[first]
        )
        if alike:
            message = (
                f"Expected names of patients that differ in more than case, leading zeros and hidden characters but {len(alike)} "
                f"are otherwise equal to one in '{second}'. Are they the same person?"
            )
            yield Problem("warning", "patients", first, message, len(alike), examples(alike))


def _spelling(patient: str) -> str:
    plain = patient if patient.isascii() else _visible(patient)
    return _LEADING_ZEROS.sub("", " ".join(plain.casefold().split()))


def _visible(text: str) -> str:
    # an accent may be a character of its own (NFD, as macOS writes), and Unicode has characters without a width (Cf)
    composed = unicodedata.normalize("NFKC", text)
    return "".join(character for character in composed if unicodedata.category(character) != "Cf")


def check_taken_out(splits: Mapping[str, Split], label_names: tuple[str, ...]) -> Iterator[Problem]:
    """Yield labels and regions that become too few when patients with a region leave training."""
    if "train" not in splits:
        return
    train = splits["train"]
    for name, column in zip(label_names, train.label.T, strict=True):
        taken = train.counts.get(taken_out(name), 0)
        left = int((column == 1).sum())
        if taken and left < max(FEW, taken):
            message = (
                f"Expected positives of '{name}' to learn from but {left} of {left + taken} are left: the others are of patients "
                "with a region, who leave training (data.rois.patients). Draw patients with regions into validation or test."
            )
            yield Problem("warning", "labels", "train", message, left)
    dropped = train.counts.get("dropped_rois", 0)
    left = sum(len(split.rois) for name, split in splits.items() if name != "train")
    if dropped and left < max(FEW, dropped):
        message = (
            f"Expected images with a region to score on but {left} of {left + dropped} are left: the others were drawn to "
            "training and dropped (data.rois.patients). Intervals of localization scores are wide; set it to test, or draw "
            "patients with regions into validation or test."
        )
        yield Problem("warning", "regions", "train", message, left)


def rois_of_absent_labels(name: str, split: Split) -> Iterator[Problem]:
    """Yield regions of a label that is 0."""
    rows = []
    for row, rois in split.rois.items():
        labels = [roi.label for roi in rois]
        if (split.label[row, labels] == 0).any():
            rows.append(row)
    if rows:
        message = f"Expected regions of labels that are 1 but {len(rows)} images have one of a label that is 0."
        yield Problem("warning", "regions", name, message, len(rows), sample_examples(split, rows))
