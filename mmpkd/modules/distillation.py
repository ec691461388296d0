"""Training of an image-only student, with a frozen teacher or without."""

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
    """Trains a vision transformer on images; a frozen teacher of privileged input may help.

    The teacher is loaded when a fit starts; testing and prediction never need its file.

    Args:
        student: The network that is trained.
        teacher: Where the teacher's outputs come from, or None for the baseline.
        objective: The loss; its defaults if None. Without a teacher, only its task loss counts.
        optimizer: Settings of AdamW; its `layer_decay` is for the blocks of the student.

    Raises:
        ValueError: If the objective needs a teacher that there is not, or has weights of another number of labels.
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
        self._teacher: TeacherLookup | None = None
        weights = self.objective.pos_weight
        if weights is not None and len(weights) != self.num_classes:
            raise ValueError(
                f"Expected {self.num_classes} weights of present labels, one a label, but got {len(weights)}."
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
            args: Of Lightning's method.
            options: Of Lightning's method and of the class. The student is the one that the checkpoint describes, unless it is
                given.

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
        """Open the teacher when a fit starts."""
        if stage != "fit" or self.teacher_source is None or self._teacher is not None:
            return
        datamodule = getattr(self.trainer, "datamodule", None)
        if isinstance(datamodule, PrivilegedDataModule):
            self._teacher = open_teacher(self.teacher_source, datamodule, self.trainer.strategy.root_device)
        else:
            self._teacher = open_running_teacher(self.teacher_source, self.num_classes)
        self.objective.build(self.student.num_features, self._teacher.num_features)
        if self.objective.needs_statistics:
            self.objective.set_statistics(self._teacher.feature_statistics())
        if self.objective.needs_thresholds:
            if self._teacher.thresholds is None:
                raise ValueError(
                    "Expected thresholds of the teacher for HardLabels but none are known. Give a checkpoint as "
                    "model.teacher.path, write `thresholds` into meta.json of the targets, or set a number."
                )
            self.objective.set_thresholds(self._teacher.thresholds)

    @property
    def needs_privileged(self) -> bool:
        """Whether the data module must serve privileged input: only to a teacher that runs in every step."""
        return self.teacher_source is not None and self.teacher_source.targets == "online"

    def on_fit_start(self) -> None:
        """Move the teacher's outputs, or the teacher itself, to the device; no module does it for a non-module."""
        if self._teacher is not None:
            self._teacher.to(self.device)

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
        return self.forward(batch["image"])

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return timm's groups: no decay of biases, norms and position embeddings; learning rates by depth if asked for."""
        settings = self.optimizer_settings
        if settings.layer_decay is None:
            return super().parameter_groups()
        groups = param_groups_layer_decay(
            self.student.model,
            settings.weight_decay,
            no_weight_decay_list=self.student.model.no_weight_decay(),
            layer_decay=settings.layer_decay,
        )
        scaled = [{**group, "lr": settings.lr * group["lr_scale"]} for group in groups]
        of_losses = param_groups_weight_decay(self.objective, settings.weight_decay)
        return [*scaled, *(group for group in of_losses if group["params"])]

    def no_weight_decay(self) -> list[str]:
        """Return the parameters that timm exempts from decay, such as position embeddings."""
        return [f"student.model.{name}" for name in self.student.model.no_weight_decay()]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to build the student again, and what its outputs mean."""
        widths = self.objective.widths
        datamodule = getattr(self.trainer, "datamodule", None)
        preparation = datamodule.preparation.describe() if isinstance(datamodule, PrivilegedDataModule) else None
        checkpoint["student"] = self.student.settings
        checkpoint["input"] = {"mean": self.student.mean, "std": self.student.std, "preparation": preparation}
        checkpoint["loss_widths"] = None if widths is None else list(widths)
        checkpoint["label_names"] = list(self.label_names)

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
            _check_labels(checkpoint["label_names"], list(self.label_names), trainer.datamodule)  # type: ignore[attr-defined]
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


def _check_labels(trained: list[str], found: list[str], data: Any) -> None:
    if trained != found:
        setting = getattr(data, "label_setting", "the data module's labels")
        raise ValueError(
            f"Expected the labels that the student was trained with, {trained}, but the data have {found}. "
            f"Set {setting} to the student's, in its order."
        )
