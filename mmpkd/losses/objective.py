"""The training loss of a student: task, distillation, and any number of further terms."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mmpkd.losses.base import DistillationLoss, FeatureStatistics, check_temperature
from mmpkd.losses.multi_class import SOFTMAX_IS_WRONG
from mmpkd.losses.reduction import share
from mmpkd.losses.schedules import Schedule, constant
from mmpkd.losses.sigmoid_kl import SigmoidKLDivergence
from mmpkd.losses.task import masked_bce
from mmpkd.numerics.precision import Float32Buffers
from mmpkd.students.output import ModelOutput

Mode = Literal["complementary", "independent"]
Normaliser = Literal["covered", "batch"]
RESERVED = {"loss", "task", "distillation", "lr", "distillation_weight", "temperature"}


@dataclass
class LossTerm:
    """One term of the training loss.

    Attributes:
        loss: Distance between student and teacher.
        weight: What it is multiplied with, >= 0, or a schedule.
    """

    loss: DistillationLoss
    weight: float | Schedule = 1.0

    def __post_init__(self) -> None:
        if constant(self.weight).smallest < 0:
            raise ValueError(f"Expected the weight of a loss to be >= 0 but got {self.weight}.")


class Objective(Float32Buffers, nn.Module):
    """Task loss + distillation loss + further terms, all exact for samples without a teacher.

    With weight w, `complementary` gives a sample that has a teacher (1 - w) task + w distillation and one without its whole
    task loss (Lopez-Paz et al. 2016, https://arxiv.org/abs/1511.03643); `independent` gives task + w distillation.

    Distillation terms are means over the samples that have a teacher (`covered`), so that their size does not depend on how
    many these are; or, with `batch`, such means times the share of samples that have one, so that each of them counts w of its
    share in the batch.

    Args:
        loss: Main distillation loss; sigmoid KL divergence at temperature 1 if None.
        weight: w, a number or a schedule; in [0, 1] if complementary.
        temperature: Temperature of the main loss, a number or a schedule, or None to leave it as it is.
        mode: How task and distillation share the weight.
        extra_losses: Further terms by name; each is added with its weight, and logged under its name.
        label_smoothing: Share of each task label that is replaced by 1/2, in [0, 1).
        normaliser: What distillation terms are divided by: the samples that have a teacher, or the batch.
        pos_weight: K weights > 0 of present labels in the task loss, or None for 1. They belong to the task alone: with them, the
            minimum of a distillation loss would not be at the teacher's probabilities.

    Raises:
        ValueError: If a number is out of its range, a name is taken, or a loss is multi-class.
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        loss: DistillationLoss | None = None,
        weight: float | Schedule = 0.5,
        temperature: float | Schedule | None = None,
        mode: Mode = "complementary",
        extra_losses: dict[str, LossTerm] | None = None,
        label_smoothing: float = 0.0,
        normaliser: Normaliser = "covered",
        pos_weight: list[float] | None = None,
    ) -> None:
        super().__init__()
        self.normaliser = normaliser
        if pos_weight is not None and not all(value > 0 for value in pos_weight):
            raise ValueError(f"Expected weights > 0 of present labels but got {list(pos_weight)}.")
        weights = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float32)
        self.register_buffer("pos_weight", weights, persistent=False)
        self.distillation_loss = loss or SigmoidKLDivergence()
        self.weight = constant(weight)
        self.mode = mode
        self.label_smoothing = label_smoothing
        self.temperature = None if temperature is None else constant(temperature)
        terms = extra_losses or {}
        self.extra = nn.ModuleDict({name: term.loss for name, term in terms.items()})
        self.extra_weights = {name: constant(term.weight) for name, term in terms.items()}
        self.widths: tuple[int, int] | None = None
        self._check()

    def _check(self) -> None:
        highest = 1.0 if self.mode == "complementary" else float("inf")
        if not 0 <= self.weight.smallest <= self.weight.largest <= highest:
            raise ValueError(f"Expected a distillation weight in [0, {highest:g}] but got {self.weight}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"Expected a label smoothing in [0, 1) but got {self.label_smoothing}.")
        if self.temperature is not None:
            check_temperature(self.temperature.smallest)
            if not self.distillation_loss.softens:
                raise ValueError(
                    f"Expected no temperature for {type(self.distillation_loss).__name__}, which has none. Remove "
                    "model.objective.temperature."
                )
        taken = sorted(name for name in self.extra if name in RESERVED or name.endswith("_weight"))
        if taken:
            raise ValueError(
                f"Expected other names of extra losses than {sorted(RESERVED)}, and none that ends with '_weight', but got "
                f"{taken}."
            )
        wrong = [type(loss).__name__ for loss in self.losses if loss.multi_class]
        if wrong:
            raise ValueError(f"Expected multi-label losses but {wrong} is multi-class. {SOFTMAX_IS_WRONG}")

    @property
    def losses(self) -> list[DistillationLoss]:
        """All losses between student and teacher."""
        return [self.distillation_loss, *cast("list[DistillationLoss]", list(self.extra.values()))]

    @property
    def needs_statistics(self) -> bool:
        """Whether a loss needs the statistics of the teacher's features."""
        return any(loss.needs_statistics for loss in self.losses)

    @property
    def needs_thresholds(self) -> bool:
        """Whether a loss needs the teacher's thresholds."""
        return any(loss.needs_thresholds for loss in self.losses)

    def build(self, student_features: int, teacher_features: int) -> None:
        """Make the layers of the losses, once; their weights depend on the seed and not on what was drawn before.

        Raises:
            ValueError: If a loss compares features but the teacher has none.
        """
        without = [type(loss).__name__ for loss in self.losses if loss.needs_features and not teacher_features]
        if without:
            raise ValueError(
                f"Expected a teacher with features for {', '.join(without)} but it has none, as boosted and out-of-fold "
                "targets. Use "
                "losses between logits, or a teacher with features."
            )
        if self.widths is None:
            self.widths = (student_features, teacher_features)
            with torch.random.fork_rng(devices=[]):
                # layers are made on the CPU; `torch.manual_seed` would set back the generator of every GPU as well
                torch.default_generator.manual_seed(torch.initial_seed())
                for loss in self.losses:
                    loss.build(*self.widths)

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Hand the statistics of the teacher's features to the losses."""
        for loss in self.losses:
            loss.set_statistics(statistics)

    def set_thresholds(self, thresholds: Tensor) -> None:
        """Hand the teacher's thresholds to the losses."""
        for loss in self.losses:
            loss.set_thresholds(thresholds)

    def task(self, logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the task loss; see `masked_bce`."""
        return masked_bce(logits, label, weight, self.label_smoothing, self.pos_weight)

    def forward(
        self,
        task: ModelOutput,
        student: ModelOutput,
        label: Tensor,
        teacher: ModelOutput,
        available: Tensor,
        progress: float,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss, and their weighted sum as `loss`.

        Args:
            task: Output that is trained on the labels.
            student: Output that is compared with the teacher's; the same one, unless the student has a distillation token.
            label: (B, K): 1, 0, or NaN for not stated.
            teacher: Logits (B, K) or (M, B, K) and features (B, E).
            available: Bool (B,), whether a sample has a teacher.
            progress: Share of the training that is done, in [0, 1].
        """
        weight = self.weight(progress)
        values = {"distillation_weight": weight}
        if self.temperature is not None:
            self.distillation_loss.temperature = values["temperature"] = self.temperature(progress)
        scale: float | Tensor = 1.0
        if self.normaliser == "batch":
            covered = available.to(torch.float32)
            scale = share(covered.sum(), torch.ones_like(covered).sum())
        of_task = 1 - weight * available.to(torch.float32) if self.mode == "complementary" else None
        terms = {
            "task": self.task(task.logits, label, of_task),
            "distillation": scale * self.distillation_loss(student, teacher, available),
        }
        loss = terms["task"] + weight * terms["distillation"]
        for name, extra in self.extra.items():
            terms[name] = scale * extra(student, teacher, available)
            schedule = self.extra_weights[name]
            loss = loss + schedule(progress) * terms[name]
            if not schedule.is_constant:
                values[f"{name}_weight"] = schedule(progress)
        # on the device of the loss: they are reduced over processes when they are logged, and NCCL takes nothing else
        return {"loss": loss, **terms, **{name: loss.detach().new_full((), value) for name, value in values.items()}}
