"""Controls: targets without one property of a teacher's targets, to find out which property helps a student.

A control changes stored targets once, before training. Its random draws depend only on the seed of the run, so a resumed run
has the same targets.
"""

import logging
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data_modules.split import Split
from mmpkd.teachers.targets import TeacherTargets

logger = logging.getLogger("mmpkd")


class TargetsControl(ABC):
    """Changes the targets of the training split.

    Attributes:
        needs_teacher: Whether the control changes the targets of a teacher; otherwise it generates its own.
    """

    needs_teacher: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, targets: TeacherTargets, split: Split, seed: int) -> TeacherTargets:
        """Return the targets of the control.

        Args:
            targets: Targets aligned with the split. If the control needs no teacher, they are zero and no sample has a teacher.
            split: The training split.
            seed: Seed of the run.
        """


class ShuffledTargets(TargetsControl):
    """Gives every sample the targets of another one. They are as calibrated and as varied, but belong to the wrong sample.

    Only samples with a teacher take part, so the same samples are distilled as with the teacher. Targets are shifted along a
    random cycle, so no sample keeps its own, except samples whose labels no other sample has; their number is logged.

    Args:
        within_labels: Shuffle only among samples with the same labels. This keeps the information in the labels, and removes
            what the teacher knows about the individual sample.
    """

    def __init__(self, within_labels: bool = False) -> None:
        self.within_labels = within_labels

    def __call__(self, targets: TeacherTargets, split: Split, seed: int) -> TeacherTargets:
        """Return the shuffled targets."""
        rng = np.random.default_rng([seed, 1])  # 1: a stream of this control's own
        rows = np.flatnonzero(targets.available)
        group = np.zeros(len(rows), dtype=np.int64)
        if self.within_labels:
            pattern = np.nan_to_num(split.label[rows], nan=-1.0)
            group = np.unique(pattern, axis=0, return_inverse=True)[1].reshape(-1)
        source = np.arange(len(targets.available))
        order = rng.permutation(len(rows))
        # rows in random order, group by group; each group becomes one cycle
        by_group = rows[order[np.argsort(group[order], kind="stable")]]
        for cycle in np.split(by_group, np.cumsum(np.bincount(group))[:-1]):
            source[cycle] = np.roll(cycle, 1)
        kept = int((source[rows] == rows).sum())
        if kept:
            logger.info("%d of %d samples keep their own targets: no other sample has their labels", kept, len(rows))
        return replace(targets, logits=targets.logits[:, source], features=targets.features[source])


class NoisyTargets(TargetsControl):
    """Replaces a share of the variance of the teacher's outputs by noise, keeping mean and variance of each output.

    With share q, an output z with mean m and standard deviation s over samples becomes m + sqrt(1 - q) (z - m) + sqrt(q) s e,
    where e is standard normal. Increasing shares give worse and worse teachers; 1 is pure noise.

    Args:
        share: Share q of the variance, in [0, 1].

    Raises:
        ValueError: If the share is outside [0, 1].
    """

    def __init__(self, share: float = 1.0) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"Expected a share of noise in [0, 1] but got {share}.")
        self.share = share

    def __call__(self, targets: TeacherTargets, split: Split, seed: int) -> TeacherTargets:
        """Return the noisy targets."""
        del split
        rng = np.random.default_rng([seed, 2])  # 2: a stream of this control's own
        logits = np.stack([self._mix(member, targets.available, rng) for member in targets.logits])
        features = self._mix(targets.features.astype(np.float32), targets.available, rng)
        return replace(targets, logits=logits, features=features.astype(np.float16))

    def _mix(
        self, values: NDArray[np.float32], available: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        known = np.asarray(values)[available]
        mean = known.mean(axis=0)
        std = known.std(axis=0)
        noise = rng.standard_normal(values.shape, dtype=np.float32)
        mixed = mean + np.sqrt(1 - self.share) * (values - mean) + np.sqrt(self.share) * std * noise
        return np.where(available[:, None], mixed, values).astype(np.float32)


class LabelOracle(TargetsControl):
    """Uses the training labels themselves as the teacher: the best teacher without privileged information.

    An unknown label gets its prevalence. The features are the label probabilities. Samples with privileged input have this
    teacher, as they would have a teacher on that input. For known labels, at temperature 1 and distillation weight w, this is
    label smoothing by 2 w (1 - confidence).

    Args:
        confidence: Probability of the known label value, in (0.5, 1).

    Raises:
        ValueError: If the confidence is outside (0.5, 1).
    """

    needs_teacher = False

    def __init__(self, confidence: float = 0.95) -> None:
        if not 0.5 < confidence < 1:
            raise ValueError(f"Expected a confidence in (0.5, 1) but got {confidence}.")
        self.confidence = confidence

    def __call__(self, targets: TeacherTargets, split: Split, seed: int) -> TeacherTargets:
        """Return the labels as targets."""
        del seed
        is_known = ~np.isnan(split.label)  # (N, K)
        num_positive = np.where(is_known, split.label, 0).sum(axis=0)  # (K,)
        num_known = is_known.sum(axis=0)
        prevalence = np.where(num_known > 0, num_positive / np.maximum(num_known, 1), 0.5)
        certain = np.where(split.label == 1, self.confidence, 1 - self.confidence)
        limit = 1 - self.confidence
        probability = np.where(is_known, certain, np.clip(prevalence, limit, 1 - limit)).astype(np.float32)
        logits = np.log(probability / (1 - probability)).astype(np.float32)
        return TeacherTargets(
            logits[None], probability.astype(np.float16), split.has_privileged, split.sample_id, targets.meta
        )
