"""Controls: targets that lack one thing which a teacher's targets have, to tell what it is that helps a student.

A control changes stored targets once, before training. Its random draws depend on the seed of the run and on nothing else, so
that a resumed run has the same ones.
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
    """Changes the targets of a training split.

    Attributes:
        needs_teacher: Whether there must be targets to change; otherwise the control makes its own.
    """

    needs_teacher: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, targets: TeacherTargets, split: Split, seed: int) -> TeacherTargets:
        """Return the targets of the control.

        Args:
            targets: Targets aligned with the split; all zero, and none available, if the control needs no teacher.
            split: The training split.
            seed: Seed of the run.
        """


class ShuffledTargets(TargetsControl):
    """Gives every sample the targets of another one: calibrated and varied as the teacher's, but about someone else.

    Only samples with a teacher take part, so that as many samples are distilled as with the teacher. The samples change places
    in a ring, so that none keeps its own targets, unless no other sample has its labels; how many these are is logged.

    Args:
        within_labels: Shuffle among samples with the same stated labels only. What the labels tell is kept, and what a teacher
            adds about the single sample is lost.
    """

    def __init__(self, within_labels: bool = False) -> None:
        self.within_labels = within_labels

    def __call__(self, targets: TeacherTargets, split: Split, seed: int) -> TeacherTargets:
        """Return the shuffled targets."""
        rng = np.random.default_rng([seed, 1])
        rows = np.flatnonzero(targets.available)
        group = np.zeros(len(rows), dtype=np.int64)
        if self.within_labels:
            pattern = np.nan_to_num(split.label[rows], nan=-1.0)
            group = np.unique(pattern, axis=0, return_inverse=True)[1].reshape(-1)
        source = np.arange(len(targets.available))
        order = rng.permutation(len(rows))
        by_group = rows[order[np.argsort(group[order], kind="stable")]]
        for ring in np.split(by_group, np.cumsum(np.bincount(group))[:-1]):
            source[ring] = np.roll(ring, 1)
        kept = int((source[rows] == rows).sum())
        if kept:
            logger.info("%d of %d samples keep their own targets: no other sample has their labels", kept, len(rows))
        return replace(targets, logits=targets.logits[:, source], features=targets.features[source])


class NoisyTargets(TargetsControl):
    """Replaces a share of the variance of the teacher's outputs by noise; mean and variance of each output stay.

    With share q, an output z with mean m and standard deviation s over the samples becomes m + sqrt(1 - q) (z - m) + sqrt(q) s e,
    with e from the standard normal distribution. Shares between 0 and 1 make a ladder of worse and worse teachers, 1 is noise.

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
        rng = np.random.default_rng([seed, 2])
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
    """Makes the training labels themselves the teacher: the most that can be had without any privileged information.

    A label that is not stated counts as its prevalence. The features are the label probabilities. The samples with privileged
    input have a teacher, as with a teacher of that input. For stated labels, at temperature 1 and weight w, this is label
    smoothing by 2 w (1 - confidence): a teacher of labels has nothing else to say.

    Args:
        confidence: Probability that the oracle gives to what is stated, in (0.5, 1).

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
        stated = ~np.isnan(split.label)
        present = np.where(stated, split.label, 0).sum(axis=0)
        count = stated.sum(axis=0)
        prevalence = np.where(count > 0, present / np.maximum(count, 1), 0.5)
        certain = np.where(split.label == 1, self.confidence, 1 - self.confidence)
        limit = 1 - self.confidence
        probability = np.where(stated, certain, np.clip(prevalence, limit, 1 - limit)).astype(np.float32)
        logits = np.log(probability / (1 - probability)).astype(np.float32)
        return TeacherTargets(
            logits[None], probability.astype(np.float16), split.has_privileged, split.sample_id, targets.meta
        )
