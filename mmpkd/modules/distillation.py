"""Training of an image-only student, with a frozen teacher or without."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.trainer.states import TrainerFn
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import Tensor

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch
from mmpkd.losses import DistillationLoss, LossTerm, Objective
from mmpkd.losses.objective import Mode, Normaliser
from mmpkd.losses.schedules import Schedule
from mmpkd.modules.base import ClassificationModule
from mmpkd.records.checkpoint import check_layers
from mmpkd.students import VisionTransformerStudent
from mmpkd.students.output import ModelOutput
from mmpkd.students.trainable import freeze_blocks, freeze_for_linear_probe, set_frozen_eval
from mmpkd.students.vit import Option
from mmpkd.teachers.controls import TargetsControl
from mmpkd.teachers.lookup import TargetsMode, TeacherLookup, open_teacher

LOSSES = "objective."


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
        teacher_targets: `stored` computes the teacher's outputs once; `online` runs the teacher in every step; `image` runs
            the checkpoint of a student on the same, augmented image (self-distillation).
        control: Replaces the teacher's outputs by those of a control, such as shuffled ones; see `mmpkd.teachers.controls`.
        calibrate_teacher: Divide the teacher's logits by the temperature that fits the validation labels best.
        trust_remote_code: Run Python code that came with the teacher's text encoder, if it needs any.
        distillation_weight: Weight w of the distillation loss, a number or a schedule; in [0, 1] if complementary.
        temperature: Temperature of the distillation loss, a number or a schedule; None leaves it at the loss's own.
        mode: `complementary` as above, or `independent`: task + w distillation.
        distillation_loss: Loss between logits; sigmoid KL divergence at temperature 1 by default.
        extra_losses: Further losses by name, each with a weight, added to the total and logged under their names.
        normaliser: What distillation terms are divided by: the samples that have a teacher (`covered`), or the `batch`.
        label_smoothing: Share of each task label that is replaced by 1/2.
        pos_weight: Weights of present labels in the task loss, one a label, or None.
        linear_probe: Train the classification head only.
        frozen_blocks: Freeze the patch embedding and so many of the first blocks.
        compile: Compile the student with `torch.compile`.
        lr: Peak learning rate.
        weight_decay: Weight decay of matrices.
        betas: Of AdamW.
        warmup_fraction: Share of all steps in which the learning rate rises linearly.
        layer_decay: Factor in (0, 1] by which the learning rate shrinks from block to block towards the input, or None.
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
        teacher_targets: TargetsMode = "stored",
        control: TargetsControl | None = None,
        calibrate_teacher: bool = False,
        trust_remote_code: bool = False,
        distillation_weight: float | Schedule = 0.5,
        temperature: float | Schedule | None = None,
        mode: Mode = "complementary",
        distillation_loss: DistillationLoss | None = None,
        extra_losses: dict[str, LossTerm] | None = None,
        normaliser: Normaliser = "covered",
        label_smoothing: float = 0.0,
        pos_weight: list[float] | None = None,
        linear_probe: bool = False,
        frozen_blocks: int = 0,
        compile: bool = False,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.98),
        warmup_fraction: float = 0.1,
        layer_decay: float | None = None,
    ) -> None:
        super().__init__(num_classes, lr, weight_decay, betas, warmup_fraction, layer_decay)
        self.objective = Objective(
            distillation_loss,
            distillation_weight,
            temperature,
            mode,
            extra_losses,
            label_smoothing,
            normaliser,
            pos_weight,
        )
        if pos_weight is not None and len(pos_weight) != num_classes:
            raise ValueError(
                f"Expected {num_classes} weights of present labels, one a label, but got {len(pos_weight)}."
            )
        self.student = VisionTransformerStudent(
            student, num_classes, image_size, in_chans, pretrained, student_options, input_mean, input_std
        )
        freeze_blocks(self.student, frozen_blocks)
        if linear_probe:
            freeze_for_linear_probe(self.student)
        set_frozen_eval(self.student)
        if compile:
            self.student.compile_features()
        if teacher is None and control is None and extra_losses:
            raise ValueError(
                f"Expected a teacher for the losses {sorted(extra_losses)} but there is none. Set model.teacher."
            )
        if teacher is None and (teacher_targets != "stored" or calibrate_teacher):
            raise ValueError(
                f"Expected a teacher for teacher_targets '{teacher_targets}' and calibrate_teacher {calibrate_teacher} but there "
                "is none. Set model.teacher."
            )
        self.teacher_path, self.teacher_targets = teacher, teacher_targets
        self.control, self.calibrate_teacher = control, calibrate_teacher
        self.trust_remote_code = trust_remote_code
        self._input = {"mean": input_mean, "std": input_std}
        self._teacher: TeacherLookup | None = None

    def setup(self, stage: str) -> None:
        """Open the teacher when a fit starts."""
        has_teacher = self.teacher_path is not None or self.control is not None
        if stage != "fit" or not has_teacher or self._teacher is not None:
            return
        self._teacher = open_teacher(
            None if self.teacher_path is None else Path(self.teacher_path),
            self.teacher_targets,
            self.trainer.datamodule,  # type: ignore[attr-defined]
            self.trainer.strategy.root_device,
            self.control,
            self.calibrate_teacher,
            self.trust_remote_code,
        )
        self.objective.build(self.student.num_features, self._teacher.num_features)
        if self.objective.needs_statistics:
            self.objective.set_statistics(self._teacher.feature_statistics())
        if self.objective.needs_thresholds:
            if self._teacher.thresholds is None:
                raise ValueError(
                    "Expected thresholds of the teacher for HardLabels but none are known. Give a checkpoint as "
                    "model.teacher, write "
                    "`thresholds` into meta.json of the targets, or set a number."
                )
            self.objective.set_thresholds(self._teacher.thresholds)

    needs_images = True

    @property
    def needs_privileged(self) -> bool:
        """Whether the data module must serve privileged input: only to a teacher that runs in every step."""
        return self.teacher_path is not None and self.teacher_targets == "online"

    def on_fit_start(self) -> None:
        """Move the teacher's outputs, or the teacher itself, to the device; no module does it for a non-module."""
        if self._teacher is not None:
            self._teacher.to(self.device)

    def train(self, mode: bool = True) -> "DistillationModule":
        """Switch to training mode, except what is frozen."""
        super().train(mode)
        if mode:
            set_frozen_eval(self.student)
        return self

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the task loss, the distillation terms, and their sum."""
        if self._teacher is None:
            return {"loss": self.objective.task(self.predict(batch).logits, batch["label"])}
        task, student = self.student.forward_training(batch["image"])
        teacher, available = self._teacher(batch)
        terms: dict[str, Tensor] = self.objective(task, student, batch["label"], teacher, available, self.progress)
        return terms

    def predict(self, batch: Batch) -> ModelOutput:
        """Return the student's outputs; only the image is read."""
        output: ModelOutput = self.student(batch["image"])
        return output

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return timm's groups: no decay of biases, norms and position embeddings; learning rates by depth if asked for."""
        if self.layer_decay is None:
            return super().parameter_groups()
        groups = param_groups_layer_decay(
            self.student.model,
            self.weight_decay,
            no_weight_decay_list=self.student.model.no_weight_decay(),
            layer_decay=self.layer_decay,
        )
        scaled = [{**group, "lr": self.lr * group["lr_scale"]} for group in groups]
        of_losses = param_groups_weight_decay(self.objective, self.weight_decay)
        return [*scaled, *(group for group in of_losses if group["params"])]

    def no_weight_decay(self) -> list[str]:
        """Return the parameters that timm exempts from decay, such as position embeddings."""
        return [f"student.model.{name}" for name in self.student.model.no_weight_decay()]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to build the student again, and what its outputs mean."""
        widths = self.objective.widths
        checkpoint["student"] = self.student.settings
        datamodule: PrivilegedDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        checkpoint["input"] = {**self._input, "preparation": datamodule.preparation.describe()}
        checkpoint["loss_widths"] = None if widths is None else list(widths)
        checkpoint["label_names"] = list(datamodule.label_names)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the labels; the layers of losses are restored where a training goes on, and nowhere else.

        Raises:
            ValueError: If the checkpoint is not one of a student, or its labels are not those of the data, in their order.
        """
        if "student" not in checkpoint:
            raise ValueError(f"Expected the checkpoint of a student but it holds {sorted(checkpoint)}.")
        # without a trainer, in `load_from_checkpoint`, there are no data to compare with
        trainer = self._trainer
        if trainer is not None:
            _check_labels(checkpoint["label_names"], trainer.datamodule)  # type: ignore[attr-defined]
        goes_on = trainer is not None and trainer.state.fn == TrainerFn.FITTING
        if goes_on and checkpoint["loss_widths"] is not None:
            self.objective.build(*checkpoint["loss_widths"])
        own = {f"{LOSSES}{name}": value for name, value in self.objective.state_dict().items()}
        saved: dict[str, Tensor] = checkpoint["state_dict"]
        for key in [key for key in saved if key.startswith(LOSSES) and not (goes_on and key in own)]:
            del saved[key]
        if not goes_on:
            # a student is tested without the losses that it was trained with: those of this module stay as they are
            saved.update(own)
        check_layers(self.state_dict(), saved, "student")


def _check_labels(trained: list[str], data: Any) -> None:
    if trained != list(data.label_names):
        setting = getattr(data, "label_setting", "the data module's labels")
        raise ValueError(
            f"Expected the labels that the student was trained with, {trained}, but the data have {list(data.label_names)}. "
            f"Set {setting} to the student's, in its order."
        )
