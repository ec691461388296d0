"""The teacher card: how good a teacher is, and what to check before distilling from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_modules.base import PrivilegedDataModule
from data_modules.split import Split
from mmpkd.losses.ensemble import ensemble_logits
from mmpkd.records import RunFolder
from mmpkd.teachers.calibration import BOUNDS, calibration_temperature, is_at_limit, sigmoid
from mmpkd.teachers.card_scores import SCORES, Estimate, macro_auroc, scores_by_label
from mmpkd.teachers.leaks import Leak, missing_values, single_features
from mmpkd.teachers.run_teachers import build_targets
from mmpkd.teachers.targets import TeacherTargets
from mmpkd.teachers.teacher import FrozenTeacher

MONITOR = "val/auroc_macro"


@dataclass(frozen=True)
class TeacherCard:
    """Scores, leak tests and warnings about a teacher.

    Attributes:
        split: Split that the teacher was scored on: `val` or `test`, or `train` for stored targets, which cover no other split.
        in_sample: Whether the teacher was, or may have been, trained on the samples that it was scored on.
        input_mode: Description of the teacher's input.
        num_samples: Number of samples that have a teacher.
        num_patients: Number of their patients.
        scores: `auroc`, `auprc`, `ece` and `brier` by label.
        auroc_macro: Mean AUROC over the labels for which it is defined.
        label_note: What is known about errors of the labels that it was scored against, or "".
        calibration_temperature: Temperature that fits the labels best; above 1 for an overconfident teacher. None if it lies
            beyond the limits of the search.
        single_features: The best single feature by label.
        missing: The most predictive missing value by label.
        student_auroc: AUROC of an image-only student on all samples of the same split, or None if unknown.
        warnings: Sentences about possible problems.
    """

    split: str
    in_sample: bool
    input_mode: str
    num_samples: int
    num_patients: int
    scores: Mapping[str, Mapping[str, Estimate]]
    auroc_macro: Estimate
    label_note: str
    calibration_temperature: float | None
    single_features: list[Leak]
    missing: list[Leak]
    student_auroc: float | None = None
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the card as primitives."""
        return asdict(self)


def teacher_card(
    teacher: FrozenTeacher,
    datamodule: PrivilegedDataModule,
    device: torch.device,
    student_auroc: float | None = None,
    split_name: str = "val",
) -> TeacherCard:
    """Score a teacher on the validation split, or on the test split for a report about the teacher itself.

    Args:
        teacher: The teacher.
        datamodule: Its data. The training split is needed for the leak tests.
        device: Device to compute on.
        student_auroc: AUROC of an image-only student on the same split, for comparison.
        split_name: `val` or `test`.

    Raises:
        ValueError: If no sample of the split has privileged input.
    """
    split = datamodule.splits[split_name]
    targets = build_targets([teacher], datamodule.privileged_dataloader(split_name), split, device)
    encoder = teacher.teacher.encoder
    mode = _input_mode(type(encoder).__name__, encoder.reads, datamodule.privileged_part)
    return _card(targets, split_name, False, mode, encoder.reads, datamodule, student_auroc)


def targets_card(targets: TeacherTargets, datamodule: PrivilegedDataModule) -> TeacherCard:
    """Score stored targets on their training samples. Ensembles and outside teachers have no other outputs.

    Args:
        targets: Targets aligned with the training split.
        datamodule: Data with the training split.

    Raises:
        ValueError: If no sample has a teacher.
    """
    meta = targets.meta
    who = f"{len(targets.logits)} teachers" if len(targets.logits) > 1 else "teacher"
    kind = "out-of-fold targets" if meta.num_folds else f"stored targets of {who} ({meta.source})"
    mode = _input_mode(kind, meta.reads, meta.privileged) if meta.reads else kind
    return _card(targets, "train", not meta.num_folds, mode, meta.reads, datamodule, None)


def _card(
    targets: TeacherTargets,
    split_name: str,
    in_sample: bool,
    input_mode: str,
    reads: Sequence[str],
    datamodule: PrivilegedDataModule,
    student_auroc: float | None,
) -> TeacherCard:
    split = datamodule.splits[split_name]
    names = datamodule.label_names
    known = np.flatnonzero(targets.available)
    if not len(known):
        raise ValueError(f"Expected samples with privileged input in '{split_name}' but there are none.")
    logits = ensemble_logits(torch.from_numpy(np.ascontiguousarray(targets.logits[:, known])), 1.0).numpy()
    own = split.take(known)
    train, other = (
        _as_read(datamodule.splits[name], reads) for name in ("train", "test" if split_name == "test" else "val")
    )
    temperature = calibration_temperature(logits, own.label)
    card = TeacherCard(
        split=split_name,
        in_sample=in_sample,
        input_mode=input_mode,
        num_samples=len(known),
        num_patients=len(np.unique(own.patient_id)),
        scores=scores_by_label(sigmoid(logits), own, names),
        auroc_macro=macro_auroc(sigmoid(logits), own),
        label_note=datamodule.label_note(split_name),
        calibration_temperature=None if is_at_limit(temperature) else temperature,
        single_features=single_features(train, other, names),
        missing=missing_values(train, other, names),
        student_auroc=student_auroc,
    )
    card.warnings.extend(_warnings(card, len(split)))
    return card


def _as_read(split: Split, reads: Sequence[str]) -> Split:
    """Return a split with only the privileged input that a teacher reads, or all of it if that is unknown."""
    if not reads:
        return split
    has_columns = any(name != "text" for name in reads)
    return replace(split, report=split.report if "text" in reads else None, table=split.table if has_columns else None)


def _input_mode(kind: str, reads: Sequence[str], part: str) -> str:
    columns = len([name for name in reads if name != "text"])
    parts = [*(["text"] if "text" in reads else []), *([f"a table of {columns} columns"] if columns else [])]
    return f"{kind} on {' and '.join(parts)}{f' ({part})' if part else ''}"


def _warnings(card: TeacherCard, num_all: int) -> list[str]:
    found = []
    if card.in_sample:
        found.append(
            "The teacher was, or may have been, trained on the samples that it is scored on. Scores and targets are then too "
            "good; `mmpkd targets cross-fit` makes out-of-fold targets."
        )
    auroc = card.auroc_macro
    if card.student_auroc is not None and (auroc.high if auroc.has_interval else auroc.value) < card.student_auroc:
        some = f" (the teacher on the {card.num_samples:,} of {num_all:,} samples with privileged input)"
        found.append(
            f"The teacher is worse than the image-only student ({card.split} AUROC {auroc} against "
            f"{card.student_auroc:.3f}{some if card.num_samples < num_all else ''}). It has little to teach; a gain would have "
            "another cause."
        )
    if auroc.value < 0.6:
        found.append(f"The teacher hardly predicts the labels ({card.split} AUROC {auroc.value:.3f}).")
    if auroc.value > 0.995:
        found.append(
            f"The teacher nearly repeats the labels ({card.split} AUROC {auroc.value:.3f}). Compare with the label oracle "
            "and with targets shuffled within labels before attributing a gain to privileged information."
        )
    found += [
        f"{leak.feature} alone predicts '{leak.label}' (AUROC {leak.auroc:.3f} in {card.split}): the label may be a copy of it."
        for leak in card.single_features
        if leak.auroc >= 0.95
    ]
    found += [
        f"Whether {leak.feature} is missing predicts '{leak.label}' (AUROC {leak.auroc:.3f} in {card.split})."
        for leak in card.missing
        if leak.auroc >= 0.6
    ]
    found += _interval_warnings(card)
    return found + _calibration_warnings(card)


def _interval_warnings(card: TeacherCard) -> list[str]:
    """Return a warning about the labels that have an AUROC without an interval."""
    scores = {name: estimates["auroc"] for name, estimates in card.scores.items()}
    names = [name for name, auroc in scores.items() if np.isfinite(auroc.value) and not auroc.has_interval]
    if not names:
        return []
    narrow = (
        " The interval of the macro AUROC is too narrow by what it varies." if card.auroc_macro.has_interval else ""
    )
    return [
        f"No interval of the AUROC of {', '.join(names)}: one patient in {card.split} has another label than all others, or "
        f"every resample of the patients has the same score.{narrow}"
    ]


def _calibration_warnings(card: TeacherCard) -> list[str]:
    temperature = card.calibration_temperature
    found = []
    if temperature is None:
        found.append(
            f"No temperature between {BOUNDS[0]:g} and {BOUNDS[1]:g} fits best: the teacher's logits separate the labels, or say "
            "nothing about them."
        )
    errors = [estimate["ece"].value for estimate in card.scores.values()]
    if np.isfinite(errors).any() and np.nanmean(errors) > 0.1:
        divided = (
            "" if temperature is None else f"; model.teacher.calibrate would divide its logits by {temperature:.2f}"
        )
        found.append(f"The teacher's probabilities are off by {np.nanmean(errors):.2f} on average{divided}.")
    return found


def show(card: TeacherCard, console: Console) -> None:
    """Print a teacher card to a console."""
    console.print(
        f"Teacher: {card.input_mode}. {card.num_samples:,} samples ({card.split}) of {card.num_patients:,} patients.",
        highlight=False,
    )
    table = Table("Label", "AUROC", "AUPRC", "ECE", "Brier", "best single feature", title="Teacher card")
    features = {leak.label: f"{leak.feature}: {leak.auroc:.3f}" for leak in card.single_features}
    for name, scores in card.scores.items():
        row = (name, *(str(scores[score]) for score in SCORES), features.get(name, ""))
        table.add_row(*map(escape, row))
    console.print(table)
    student = "" if card.student_auroc is None else f"; image-only student: {card.student_auroc:.3f}"
    temperature = "not found" if card.calibration_temperature is None else f"{card.calibration_temperature:.2f}"
    console.print(f"Macro AUROC {card.auroc_macro}{student}. Calibration temperature {temperature}.", highlight=False)
    if card.label_note:
        console.print(card.label_note, highlight=False)
    for warning in card.warnings:
        console.print("[yellow]warning[/]: ", end="")
        console.print(warning, markup=False, highlight=False)


def student_auroc(run: Path, split_name: str = "val") -> float:
    """Return the macro AUROC of a run: the best one on the validation split, or the one on the test split.

    Raises:
        FileNotFoundError: If the folder contains no run.
        ValueError: If the run has no such score.
    """
    state = RunFolder(run).state
    if state is None:
        raise FileNotFoundError(f"Expected the run of a student in '{run}' but it contains no run.json.")
    value = None
    if split_name == "val" and state.training is not None and state.training.monitor == MONITOR:
        value = state.training.best_score
    elif split_name == "test" and state.test is not None:
        value = state.test.metrics.get("test/auroc_macro")
    if value is None:
        raise ValueError(
            f"Expected the AUROC of the split '{split_name}' in '{run}' but there is none. Use a run that was "
            f"{'trained with --run.monitor ' + MONITOR if split_name == 'val' else 'tested'}."
        )
    return float(value)
