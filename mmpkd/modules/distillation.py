"""Training of an image-only student, with a frozen teacher or without."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from data_modules.batch import Batch
from mmpkd.losses import CosineFeatureLoss, DistillationLoss, SigmoidKLDivergence, masked_bce
from mmpkd.modules.base import ClassificationModule
from mmpkd.outputs import ModelOutput
from mmpkd.students import VisionTransformerStudent
from mmpkd.students.vit import Option
from mmpkd.teachers.lookup import TeacherLookup, open_teacher


class DistillationModule(ClassificationModule):
    """Trains a vision transformer on images; a frozen teacher of privileged input may help.

    With distillation weight w, a sample that has a teacher contributes (1 - w) task + w distillation, one without a
    teacher its whole task loss (Lopez-Paz et al. 2016, https://arxiv.org/abs/1511.03643). Without `teacher` this is the
    baseline. The teacher is loaded when a fit starts; testing and prediction never need its file.

    Args:
        num_classes: Number of labels K; linked from the data module.
        image_size: Side of the input; linked from the data module.
        in_chans: Input channels; linked from the data module.
        input_mean: Mean that images are normalised with; linked from the data module.
        input_std: Their standard deviation; linked from the data module.
        student: A timm vision transformer by name, `hf-hub:...` or `local-dir:...`.
        pretrained: Load timm's weights; needs the network or a filled cache.
        student_options: Further arguments of `timm.create_model`, such as `drop_path_rate` or `depth`.
        teacher: Checkpoint of a teacher's run, a folder of stored targets, or None for the baseline.
        teacher_targets: `stored` computes the teacher's outputs once; `online` runs the teacher in every step.
        distillation_weight: Weight w in [0, 1] of the distillation loss.
        distillation_loss: Loss between logits; sigmoid KL divergence at temperature 1 by default.
        feature_weight: Weight of a cosine loss between features, added to the total; 0 for none.
        lr: Peak learning rate.
        weight_decay: Weight decay of matrices.
        betas: Of AdamW.
        warmup_fraction: Share of all steps in which the learning rate rises linearly.
    """

    def __init__(
        self,
        num_classes: int,
        image_size: int,
        in_chans: int = 1,
        input_mean: float = 0.5,
        input_std: float = 0.25,
        student: str = "vit_nano_patch8_64",
        pretrained: bool = False,
        student_options: dict[str, Option] | None = None,
        teacher: str | None = None,
        teacher_targets: Literal["stored", "online"] = "stored",
        distillation_weight: float = 0.5,
        distillation_loss: DistillationLoss | None = None,
        feature_weight: float = 0.0,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.98),
        warmup_fraction: float = 0.1,
    ) -> None:
        super().__init__(num_classes, lr, weight_decay, betas, warmup_fraction)
        if not 0 <= distillation_weight <= 1:
            raise ValueError(f"Expected a distillation weight in [0, 1] but got {distillation_weight}.")
        if feature_weight < 0:
            raise ValueError(f"Expected a feature weight >= 0 but got {feature_weight}.")
        self.student = VisionTransformerStudent(
            student, num_classes, image_size, in_chans, pretrained, student_options, input_mean, input_std
        )
        self.teacher_path, self.teacher_targets = teacher, teacher_targets
        self.distillation_weight, self.feature_weight = distillation_weight, feature_weight
        self.distillation_loss = distillation_loss or SigmoidKLDivergence()
        self._teacher: TeacherLookup | None = None

    def setup(self, stage: str) -> None:
        """Open the teacher when a fit starts."""
        if stage != "fit" or self.teacher_path is None or self._teacher is not None:
            return
        self._teacher = open_teacher(
            Path(self.teacher_path),
            self.teacher_targets == "online",
            self.trainer.datamodule,  # type: ignore[attr-defined]
            self.trainer.strategy.root_device,
        )
        if self.feature_weight:
            self._create_feature_loss(self.student.num_features, self._teacher.num_features)

    needs_images = True

    @property
    def needs_privileged(self) -> bool:
        """Whether the data module must serve privileged input: only to a teacher that runs in every step."""
        return self.teacher_path is not None and self.teacher_targets == "online"

    def _create_feature_loss(self, student_features: int, teacher_features: int) -> None:
        self.feature_loss = CosineFeatureLoss(student_features, teacher_features)

    def on_fit_start(self) -> None:
        """Move the teacher's outputs, or the teacher itself, to the device; no module does it for a non-module."""
        if self._teacher is not None:
            self._teacher.to(self.device)

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the task loss, the distillation terms, and their sum."""
        output: ModelOutput = self.student(batch["image"])
        if self._teacher is None:
            return {"loss": masked_bce(output.logits, batch["label"])}
        teacher, available = self._teacher(batch)
        weight = 1 - self.distillation_weight * available.to(torch.float32)
        task = masked_bce(output.logits, batch["label"], weight)
        distillation = self.distillation_loss(output, teacher, available)
        terms = {"task": task, "distillation": distillation}
        loss = task + self.distillation_weight * distillation
        if self.feature_weight:
            terms["feature"] = self.feature_loss(output, teacher, available)
            loss = loss + self.feature_weight * terms["feature"]
        return {"loss": loss, **terms}

    def predict(self, batch: Batch) -> ModelOutput:
        """Return the student's outputs; only the image is read."""
        output: ModelOutput = self.student(batch["image"])
        return output

    def no_weight_decay(self) -> list[str]:
        """Return the parameters that timm exempts from decay, such as position embeddings."""
        return [f"student.model.{name}" for name in self.student.model.no_weight_decay()]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to build the student again, and what its outputs mean."""
        checkpoint["student"] = self.student.settings
        checkpoint["label_names"] = list(self.trainer.datamodule.label_names)  # type: ignore[attr-defined]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the labels, and make room for the projection of a feature loss, which is trained with the student.

        Raises:
            ValueError: If the checkpoint is not one of a student, or its labels are not those of the data, in their order.
        """
        if "student" not in checkpoint:
            raise ValueError(f"Expected the checkpoint of a student but it holds {sorted(checkpoint)}.")
        names = list(self.trainer.datamodule.label_names)  # type: ignore[attr-defined]
        if checkpoint["label_names"] != names:
            raise ValueError(
                f"Expected the labels that the student was trained with, {checkpoint['label_names']}, but the data have {names}. "
                "Set data.label_names to the student's, in its order."
            )
        weight = checkpoint["state_dict"].get("feature_loss.projection.weight")
        if weight is not None and not hasattr(self, "feature_loss"):
            self._create_feature_loss(weight.shape[1], weight.shape[0])
