"""Training of an image-only student, with or without a frozen teacher."""

from collections.abc import Mapping
from typing import Any, Self

from lightning.pytorch.trainer.states import TrainerFn
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import Tensor

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch
from mmpkd.losses import Objective
from mmpkd.modules.base import ClassificationModule
from mmpkd.modules.optimizer import OptimizerSettings
from mmpkd.records.checkpoint import check_layers
from mmpkd.students import VisionTransformerStudent, untrained_student
from mmpkd.students.output import ModelOutput
from mmpkd.teachers.lookup import TeacherLookup, open_running_teacher, open_teacher
from mmpkd.teachers.source import TeacherSource

LOSSES = "objective."


class DistillationModule(ClassificationModule):
    """Trains a vision transformer on images, with distillation from a frozen teacher if there is one.

    The teacher is loaded when fitting starts. Testing and prediction do not need its file.

    Args:
        student: The network to train.
        teacher: Where the teacher's outputs come from, or None to train without a teacher (the baseline).
        objective: The training loss; the default `Objective` if None. Without a teacher, only its task loss is used.
        optimizer: Settings of AdamW. Its `layer_decay` applies to the blocks of the student.

    Raises:
        ValueError: If the objective has extra losses but there is no teacher, or `pos_weight` has the wrong length.
    """

    needs_images = True

    def __init__(
        self,
        student: VisionTransformerStudent,
        teacher: TeacherSource | None = None,
        objective: Objective | None = None,
        optimizer: OptimizerSettings = OptimizerSettings(),
    ) -> None:
        super().__init__(student.num_classes, optimizer)
        self.objective = Objective() if objective is None else objective
        self.student = student
        self.teacher_source = teacher
        # not a module, so it is part of no checkpoint and no optimizer
        self._teacher: TeacherLookup | None = None
        weights = self.objective.pos_weight
        if weights is not None and len(weights) != self.num_classes:
            raise ValueError(
                f"Expected `pos_weight` with {self.num_classes} weights, one per label, but got {len(weights)}."
            )
        if teacher is None and self.objective.extra:
            raise ValueError(
                f"Expected a teacher for the losses {sorted(self.objective.extra)} but there is none. Set model.teacher.path."
            )

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Self:
        """Load a trained student.

        Args:
            checkpoint_path: Checkpoint of a student's run.
            args: Positional arguments of Lightning's method.
            options: Keyword arguments of Lightning's method and of this class. The student is built from the checkpoint unless
                one is given.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the checkpoint is not one of a student.
        """
        if "student" not in options:
            options["student"] = untrained_student(checkpoint_path)
        return super().load_from_checkpoint(checkpoint_path, *args, **options)

    def forward(self, image: Tensor) -> ModelOutput:
        """Classify images.

        Args:
            image: Float (B, C, H, W), normalised.

        Returns:
            Logits, float32 (B, K), and features (B, D).
        """
        output: ModelOutput = self.student(image)
        return output

    def setup(self, stage: str) -> None:
        """Open the teacher when fitting starts."""
        if stage != "fit" or self.teacher_source is None or self._teacher is not None:
            return
        datamodule = getattr(self.trainer, "datamodule", None)
        if isinstance(datamodule, PrivilegedDataModule):
            self._teacher = open_teacher(self.teacher_source, datamodule, self.trainer.strategy.root_device)
        else:
            self._teacher = open_running_teacher(self.teacher_source, self.num_classes)
        # before the optimizer is created: projections are trained, too
        self.objective.build(self.student.num_features, self._teacher.num_features)
        if self.objective.needs_statistics:
            self.objective.set_statistics(self._teacher.feature_statistics())
        if self.objective.needs_thresholds:
            if self._teacher.thresholds is None:
                raise ValueError(
                    "Expected the teacher's thresholds for HardLabels but they are unknown. Use a checkpoint as "
                    "model.teacher.path, add `thresholds` to meta.json of the targets, or set the threshold to a number."
                )
            self.objective.set_thresholds(self._teacher.thresholds)

    @property
    def needs_privileged(self) -> bool:
        """Whether batches must contain privileged input: only for a teacher that runs online."""
        return self.teacher_source is not None and self.teacher_source.targets == "online"

    def on_fit_start(self) -> None:
        """Move the teacher or its stored outputs to the device. Lightning does not, because the teacher is no module."""
        if self._teacher is not None:
            self._teacher.to(self.device)

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the task loss, the distillation losses, and their weighted sum as `loss`."""
        if self._teacher is None:
            return {"loss": self.objective.task(self.predict(batch).logits, batch["label"])}
        task, student = self.student.forward_training(batch["image"])
        teacher, available = self._teacher(batch)
        terms: dict[str, Tensor] = self.objective(task, student, batch["label"], teacher, available, self.progress)
        return terms

    def predict(self, batch: Batch) -> ModelOutput:
        """Return the student's output for the images of a batch."""
        return self.forward(batch["image"])

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return timm's parameter groups.

        Biases, norms and position embeddings have no weight decay. With `layer_decay`, learning rates depend on depth.
        """
        settings = self.optimizer_settings
        if settings.layer_decay is None:
            return super().parameter_groups()
        groups = param_groups_layer_decay(
            self.student.model,
            settings.weight_decay,
            no_weight_decay_list=self.student.model.no_weight_decay(),
            layer_decay=settings.layer_decay,
        )
        # timm gives a factor for each group; AdamW needs the learning rate itself
        scaled = [{**group, "lr": settings.lr * group["lr_scale"]} for group in groups]
        of_losses = param_groups_weight_decay(self.objective, settings.weight_decay)
        return [*scaled, *(group for group in of_losses if group["params"])]

    def no_weight_decay(self) -> list[str]:
        """Return the parameters that timm exempts from weight decay, such as position embeddings."""
        return [f"student.model.{name}" for name in self.student.model.no_weight_decay()]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to rebuild the student, and the names of its labels."""
        widths = self.objective.widths
        datamodule = getattr(self.trainer, "datamodule", None)
        preparation = datamodule.preparation.describe() if isinstance(datamodule, PrivilegedDataModule) else None
        checkpoint["student"] = self.student.settings
        checkpoint["input"] = {"mean": self.student.mean, "std": self.student.std, "preparation": preparation}
        checkpoint["loss_widths"] = None if widths is None else list(widths)
        checkpoint["label_names"] = list(self.label_names)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the labels, and restore the layers of losses if training resumes.

        Raises:
            ValueError: If the checkpoint is not one of a student, or its labels or their order differ from those of the data.
        """
        if "student" not in checkpoint:
            raise ValueError(f"Expected the checkpoint of a student but it contains {sorted(checkpoint)}.")
        # `load_from_checkpoint` has no trainer, and so no data to compare with
        trainer = self._trainer
        if trainer is not None:
            check_labels(checkpoint["label_names"], list(self.label_names), trainer.datamodule)  # type: ignore[attr-defined]
        resumes = trainer is not None and trainer.state.fn == TrainerFn.FITTING
        if resumes and checkpoint["loss_widths"] is not None:
            self.objective.build(*checkpoint["loss_widths"])
        own = {f"{LOSSES}{name}": value for name, value in self.objective.state_dict().items()}
        saved: dict[str, Tensor] = checkpoint["state_dict"]
        for key in [key for key in saved if key.startswith(LOSSES) and not (resumes and key in own)]:
            del saved[key]
        if not resumes:
            # testing does not need the trained layers of losses: those of this module stay as they are
            saved.update(own)
        check_layers(self.state_dict(), saved, "student")


def check_labels(trained: list[str], found: list[str], data: Any) -> None:
    """Check that the data have the labels that a student was trained on, in the same order.

    Args:
        trained: Names of the student's labels.
        found: Names of the labels of the data.
        data: The data module, whose setting of labels the message names.

    Raises:
        ValueError: If they differ.
    """
    if trained != found:
        setting = getattr(data, "label_setting", "the data module's labels")
        raise ValueError(
            f"Expected the labels that the student was trained on, {trained}, but the data have {found}. "
            f"Set {setting} to the student's labels, in the same order."
        )
