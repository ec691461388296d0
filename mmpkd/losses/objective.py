"""The training loss of a student: task loss, distillation loss, and any number of extra losses."""

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
    """An extra loss and its weight.

    Attributes:
        loss: Distance between student and teacher.
        weight: Factor >= 0, a number or a schedule.

    Example:
        >>> from mmpkd.losses import LogitMSE
        >>> LossTerm(LogitMSE(), weight=0.1)
        LossTerm(loss=LogitMSE(), weight=0.1)
    """

    loss: DistillationLoss
    weight: float | Schedule = 1.0

    def __post_init__(self) -> None:
        if constant(self.weight).smallest < 0:
            raise ValueError(f"Expected the weight of a loss to be >= 0 but got {self.weight}.")


class Objective(Float32Buffers, nn.Module):
    """Weighted sum of task loss, distillation loss and extra losses, exact for samples without a teacher.

    With distillation weight w, `complementary` trains samples that have a teacher on (1 - w) task + w distillation, and all
    others on the full task loss (Lopez-Paz et al. 2016, https://arxiv.org/abs/1511.03643). `independent` trains on
    task + w distillation.

    Distillation and extra losses are means over the samples that have a teacher (`covered`), so their size does not depend on
    the number of these samples. With `batch`, the sum is divided by the batch size instead, so every such sample has the same
    influence in each batch.

    Args:
        loss: Distillation loss; the sigmoid KL divergence at temperature 1 if None.
        weight: Distillation weight w, a number or a schedule; in [0, 1] if complementary.
        temperature: Temperature of the distillation loss, a number or a schedule, or None to keep the one of the loss.
        mode: How task loss and distillation loss are weighted: `complementary` or `independent`.
        extra_losses: Further losses by name. Each is added with its own weight and logged under its name.
        label_smoothing: Label smoothing s of the task loss, in [0, 1): targets become s/2 and 1 - s/2.
        normaliser: Number that distillation and extra losses are divided by: the samples that have a teacher (`covered`), or
            all samples (`batch`).
        pos_weight: K weights > 0 of positive labels in the task loss, or None for 1. Distillation losses do not use them: their
            minimum would no longer be at the teacher's probabilities.

    Raises:
        ValueError: If a number is out of range, a name is reserved, or a loss is multi-class.

    Example:
        >>> import torch
        >>> objective = Objective(weight=0.25)
        >>> student = ModelOutput(logits=torch.tensor([[0.0]]), features=torch.zeros(1, 1))
        >>> teacher = ModelOutput(logits=torch.tensor([[1.098612]]), features=torch.zeros(1, 1))
        >>> label = torch.tensor([[1.0]])
        >>> terms = objective(student, student, label, teacher, available=torch.tensor([True]), progress=0.0)
        >>> terms["distillation"], terms["loss"]  # 0.75 log 2 + 0.25 KL(3/4 || 1/2)
        (tensor(0.1308), tensor(0.5526))
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
            raise ValueError(f"Expected `pos_weight` > 0 for every label but got {list(pos_weight)}.")
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
                    f"Expected no temperature for {type(self.distillation_loss).__name__}, which does not use one, but got "
                    f"{self.temperature}. Remove model.objective.temperature."
                )
        taken = sorted(name for name in self.extra if name in RESERVED or name.endswith("_weight"))
        if taken:
            raise ValueError(
                f"Expected names of extra losses that do not end with '_weight' and are none of {sorted(RESERVED)} but got "
                f"{taken}."
            )
        wrong = [type(loss).__name__ for loss in self.losses if loss.multi_class]
        if wrong:
            raise ValueError(f"Expected multi-label losses but {wrong} is multi-class. {SOFTMAX_IS_WRONG}")

    @property
    def losses(self) -> list[DistillationLoss]:
        """All losses between student and teacher: the distillation loss and the extra losses."""
        return [self.distillation_loss, *cast("list[DistillationLoss]", list(self.extra.values()))]

    @property
    def needs_statistics(self) -> bool:
        """Whether any loss needs the statistics of the teacher's features."""
        return any(loss.needs_statistics for loss in self.losses)

    @property
    def needs_thresholds(self) -> bool:
        """Whether any loss needs the teacher's thresholds."""
        return any(loss.needs_thresholds for loss in self.losses)

    def build(self, student_features: int, teacher_features: int) -> None:
        """Create the layers of the losses, once. Their initial weights depend only on the seed, not on earlier random draws.

        Args:
            student_features: Width D of the student's features.
            teacher_features: Width E of the teacher's features; 0 if it has none.

        Raises:
            ValueError: If a loss compares features but the teacher has none.
        """
        without = [type(loss).__name__ for loss in self.losses if loss.needs_features and not teacher_features]
        if without:
            raise ValueError(
                f"Expected a teacher with features for {', '.join(without)} but got one with logits only, such as boosted or "
                "out-of-fold targets. Use losses between logits, or a teacher with features."
            )
        if self.widths is None:
            self.widths = (student_features, teacher_features)
            with torch.random.fork_rng(devices=[]):
                # layers are created on the CPU; `torch.manual_seed` would reset the generators of all GPUs as well
                torch.default_generator.manual_seed(torch.initial_seed())
                for loss in self.losses:
                    loss.build(*self.widths)

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Pass the statistics of the teacher's features to the losses."""
        for loss in self.losses:
            loss.set_statistics(statistics)

    def set_thresholds(self, thresholds: Tensor) -> None:
        """Pass the teacher's thresholds (K,) to the losses."""
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
        """Compute all losses and their weighted sum.

        Args:
            task: Student output that is trained on the labels.
            student: Student output that is compared with the teacher's. It differs from `task` only if the student has a
                distillation token.
            label: Float (B, K): 1, 0, or NaN if unknown.
            teacher: Logits (B, K) or (M, B, K) and features (B, E).
            available: Bool (B,), which samples have a teacher.
            progress: Fraction of training that is done, in [0, 1].

        Returns:
            Scalars by name: `loss`, the weighted sum; `task`, `distillation` and the extra losses, unweighted; and the weights
            and temperature at this progress.
        """
        weight = self.weight(progress)
        values = {"distillation_weight": weight}
        if self.temperature is not None:
            self.distillation_loss.temperature = values["temperature"] = self.temperature(progress)
        covered = available.to(torch.float32)  # (B,)
        scale: float | Tensor = 1.0
        if self.normaliser == "batch":
            # turns a mean over covered samples into their sum divided by the batch size
            scale = share(covered.sum(), torch.ones_like(covered).sum())
        # (B,): a sample without a teacher keeps its full task loss
        task_weight = 1 - weight * covered if self.mode == "complementary" else None
        terms = {
            "task": self.task(task.logits, label, task_weight),
            "distillation": scale * self.distillation_loss(student, teacher, available),
        }
        loss = terms["task"] + weight * terms["distillation"]
        for name, extra in self.extra.items():
            terms[name] = scale * extra(student, teacher, available)
            schedule = self.extra_weights[name]
            loss = loss + schedule(progress) * terms[name]
            if not schedule.is_constant:
                values[f"{name}_weight"] = schedule(progress)
        # on the device of the loss: logging reduces them over processes, and NCCL only takes CUDA tensors
        return {"loss": loss, **terms, **{name: loss.detach().new_full((), value) for name, value in values.items()}}
