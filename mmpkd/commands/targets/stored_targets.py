"""The actions of `mmpkd targets`: build, verify and show stored targets of teachers."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from data_modules.base import PrivilegedDataModule
from data_modules.files.atomic import check_writable
from mmpkd.cli.data_config import load_data_module
from mmpkd.metrics.classification import auroc
from mmpkd.numerics.hardware import gpu_or_cpu
from mmpkd.study.execution.attempt import continue_fit
from mmpkd.study.execution.fingerprint import check_unchanged
from mmpkd.study.execution.fold_runs import fold_runs
from mmpkd.teachers.boosting import boosted_targets
from mmpkd.teachers.cross_fit import out_of_fold_targets
from mmpkd.teachers.run_teachers import build_targets, training_targets
from mmpkd.teachers.target_files import load_targets
from mmpkd.teachers.targets import TeacherTargets, differences
from mmpkd.teachers.teacher import FrozenTeacher, load_teacher

logger = logging.getLogger("mmpkd")
# larger for features, which are stored in float16
TOLERANCE = {"logits": 1e-3, "features": 1e-2}


def build(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Run teachers once over the training split. Several teachers form an ensemble."""
    _must_be_new(options.out)
    teachers = [_teacher(options, path) for path in options.teachers]
    data = _data(options.config, overrides)
    return _save(training_targets(teachers, data, gpu_or_cpu()), options.out)


def cross_fit(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Train a teacher for each fold of patients. The targets of a patient come from the teacher that did not see it."""
    # only this action needs a trainer
    from mmpkd.cli.quick import main as lightning
    from mmpkd.commands.processes.run import run_lightning
    from mmpkd.commands.targets.fold_check import check_fold_runs

    _must_be_new(options.out)
    runs = fold_runs(options.config, options.out, options.folds, overrides)
    check_fold_runs(runs, lightning)
    for run in runs:
        check_unchanged(run)
    teachers = []
    for position, run in enumerate(runs, start=1):
        logger.info("[%d/%d] teacher without fold %d", position, len(runs), position - 1)
        continue_fit(run, run_lightning)
        teachers.append(_teacher(options, run.record.best))
    # the configuration that the runs were trained with, from all files and flags
    data = _data(runs[0].record.config, [])
    return _save(out_of_fold_targets(teachers, data, gpu_or_cpu()), options.out)


def boost(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Fit gradient boosting on the table and store out-of-fold targets."""
    _must_be_new(options.out)
    data = _data(options.config, overrides)
    boosted = boosted_targets(data, options.folds, options.seed)
    val = data.splits["val"]
    train = data.splits["train"]
    # trees also predict samples without privileged input, but such predictions are never used
    known = np.flatnonzero(val.has_privileged)
    table = Table("Label", "training, out-of-fold", "validation", title="AUROC of the boosted teacher")
    own = auroc(torch.from_numpy(boosted.targets.logits[0]), torch.from_numpy(train.label))
    other = auroc(torch.from_numpy(boosted.validation[known]), torch.from_numpy(val.label[known]))
    for name, first, second in zip(data.label_names, own.tolist(), other.tolist(), strict=True):
        table.add_row(name, f"{first:.3f}", f"{second:.3f}")
    Console().print(table)
    return _save(boosted.targets, options.out)


def verify(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Compare targets with teachers and data, and compute 32 rows again. Return 1 if anything differs."""
    targets = load_targets(options.folder)
    data = _data(options.config, overrides)
    teachers = [_teacher(options, path) for path in options.teachers]
    found = differences(targets.meta, teachers, data.splits["train"])
    if not found:
        found = _recompute(targets, teachers, data)
    for line in found:
        sys.stdout.write(f"{options.folder}: {line}\n")
    if not found:
        sys.stdout.write(f"{options.folder}: {len(targets.sample_id)} samples, verified.\n")
    return 1 if found else 0


def _recompute(targets: TeacherTargets, teachers: Sequence[FrozenTeacher], data: PrivilegedDataModule) -> list[str]:
    """Compare identifiers and availability, compute 32 random rows again, and return descriptions of all differences."""
    split = data.splits["train"]
    found = []
    if not np.array_equal(targets.sample_id, split.sample_id):
        found.append("identifiers differ from those of the split")
    elif not np.array_equal(targets.available, split.has_privileged):
        found.append("the samples with a teacher differ from the samples with privileged input")
    if found:
        return found
    rows = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(targets.available))[:32])
    if targets.meta.num_folds:
        # which teacher predicts a row depends on the folds of the whole split
        whole = out_of_fold_targets(teachers, data, gpu_or_cpu())
        fresh = {"logits": whole.logits[:, rows], "features": whole.features[rows]}
    else:
        part = build_targets(teachers, data.privileged_dataloader("train", rows), split.take(rows), gpu_or_cpu())
        fresh = {"logits": part.logits, "features": part.features}
    stored = {"logits": targets.logits[:, rows], "features": targets.features[rows]}
    for name, values in fresh.items():
        if values.shape != stored[name].shape:
            found.append(f"computed again, {name} have shape {values.shape} instead of {stored[name].shape}")
        elif (largest := float(np.abs(values.astype(np.float64) - stored[name]).max(initial=0.0))) > TOLERANCE[name]:
            found.append(f"computed again, {name} differ by up to {largest:.3g}, more than {TOLERANCE[name]}")
    return found


def show(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Print a summary of a folder of targets."""
    if overrides:
        raise ValueError(f"Expected no other options but got {list(overrides)}.")
    targets = load_targets(options.folder)
    meta = targets.meta
    known = targets.available
    console = Console()
    console.print(
        f"{len(targets.sample_id):,} samples, {int(known.sum()):,} with a teacher; {len(targets.logits)} member(s)"
    )
    console.print(f"features: {targets.features.shape[1]}; folds: {meta.num_folds or 'none'}; source: {meta.source}")
    console.print(f"split: {meta.split_fingerprint[:12] or 'unknown'}", highlight=False)
    for teacher in meta.teachers:
        console.print(f"teacher: {teacher.checkpoint_sha256[:12]}", highlight=False)
    if not known.any():
        return 0
    table = Table("Label", "mean probability", "5 %", "95 %")
    # (members, N, K), for the samples with a teacher
    probability = 1 / (1 + np.exp(-np.asarray(targets.logits[:, known], dtype=np.float64)))
    for label, name in enumerate(meta.label_names):
        values = probability[:, :, label].mean(axis=0)
        low, high = np.quantile(values, (0.05, 0.95))
        table.add_row(name, f"{values.mean():.3f}", f"{low:.3f}", f"{high:.3f}")
    console.print(table)
    return 0


def _data(config: Path, overrides: Sequence[str]) -> PrivilegedDataModule:
    data = load_data_module(config, overrides)
    data.serve(load_images=False, load_privileged=True)
    return data


def _teacher(options: argparse.Namespace, checkpoint: Path) -> FrozenTeacher:
    return load_teacher(checkpoint, options.trust_remote_code)


def _must_be_new(out: Path) -> None:
    if out.exists():
        raise FileExistsError(f"Expected a new folder but '{out}' exists. Delete it, or use another one.")
    # before teachers are trained or run
    check_writable(out)


def _save(targets: TeacherTargets, out: Path) -> int:
    targets.save(out)
    sys.stdout.write(f"{out}: targets of {len(targets.sample_id)} samples. Use them with --model.teacher={out}\n")
    return 0


ACTIONS = {"build": build, "cross-fit": cross_fit, "boost": boost, "verify": verify, "show": show}
