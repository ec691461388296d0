"""Training of a teacher on privileged input."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from data_modules.batch import Batch, Privileged
from mmpkd.losses import masked_bce
from mmpkd.modules.base import ClassificationModule
from mmpkd.modules.optimizer import TeacherOptimizerSettings
from mmpkd.records.checkpoint import check_layers, load_of_kind
from mmpkd.students.output import ModelOutput
from mmpkd.teachers import PrivilegedEncoder, Teacher
from mmpkd.teachers.encoders.base import encoder_from
from mmpkd.teachers.teacher import MANIFEST, check_trusted, mask_missing


class TeacherModule(ClassificationModule):
    """Trains an encoder of privileged input and a linear head on the labels.

    Samples without privileged input contribute neither to the loss nor to the scores.

    Args:
        encoder: Encoder of the privileged input, for example `mmpkd.teachers.TextEncoder`.
        num_classes: Number of labels K. The command line sets it from the data module.
        optimizer: Settings of AdamW. Its `layer_decay` applies to the layers of a pretrained text encoder.
    """

    teacher: Teacher
    needs_images = False
    needs_privileged = True

    def __init__(
        self,
        encoder: PrivilegedEncoder,
        num_classes: int,
        optimizer: TeacherOptimizerSettings = TeacherOptimizerSettings(),
    ) -> None:
        super().__init__(num_classes, optimizer)
        # in a tuple, which hides it from PyTorch until it has layers
        self._encoder = (encoder,)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Self:
        """Load a trained teacher.

        Args:
            checkpoint_path: Checkpoint of a teacher's run.
            args: Positional arguments of Lightning's method.
            options: Keyword arguments of Lightning's method and of this class. Encoder and number of labels come from the
                checkpoint unless they are given.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the checkpoint is not one of a teacher, or no encoder is given and the one of the checkpoint needs
                remote code.
        """
        manifest = load_of_kind(Path(checkpoint_path), MANIFEST, "teacher", mmap=True)[MANIFEST]
        if "encoder" not in options:
            check_trusted(manifest, checkpoint_path)
            options["encoder"] = encoder_from(manifest)
        options.setdefault("num_classes", len(manifest["label_names"]))
        return super().load_from_checkpoint(checkpoint_path, *args, **options)

    def forward(self, privileged: Privileged) -> ModelOutput:
        """Classify privileged input.

        Args:
            privileged: Privileged input of B samples.

        Returns:
            Logits, float32 (B, K), and features (B, D).
        """
        output: ModelOutput = self.teacher(privileged)
        return output

    def setup(self, stage: str) -> None:
        """Learn vocabulary and statistics from the training split and build the network, when fitting starts."""
        if stage != "fit" or hasattr(self, "teacher"):
            return
        splits = getattr(getattr(self.trainer, "datamodule", None), "splits", None)
        if splits is None:
            raise ValueError(
                "Expected a data module with `splits`, such as those of data_modules, but there is none. A teacher's encoder "
                "learns its vocabulary or statistics from the whole training split."
            )
        (encoder,) = self._encoder
        encoder.build(encoder.learn(splits["train"]))
        encoder.load_pretrained()
        self.teacher = Teacher(encoder, self.num_classes)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the network that the checkpoint describes before its weights are loaded.

        Raises:
            ValueError: If the checkpoint is not one of a teacher, or vocabulary or statistics differ.
        """
        if MANIFEST not in checkpoint:
            raise ValueError(f"Expected the checkpoint of a teacher but it contains {sorted(checkpoint)}.")
        manifest = checkpoint[MANIFEST]
        (encoder,) = self._encoder
        if hasattr(self, "teacher"):
            if encoder.inputs != manifest["inputs"]:
                raise ValueError(
                    "Expected to resume on the training split that the checkpoint was trained on but its vocabulary or "
                    "statistics differ. Restore the data, or start a new run."
                )
            return
        encoder.build(manifest["inputs"])
        self.teacher = Teacher(encoder, self.num_classes)
        check_layers(self.state_dict(), checkpoint["state_dict"], "teacher")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to rebuild the network."""
        checkpoint[MANIFEST] = self.teacher.manifest(self.label_names)

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the binary cross-entropy over samples with privileged input as `loss`."""
        return {"loss": masked_bce(self.predict(batch).logits, self.evaluation_label(batch))}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters grouped by weight decay and, with `layer_decay`, by depth."""
        settings = self.optimizer_settings
        if settings.layer_decay is None:
            return super().parameter_groups()
        encoder = self.teacher.encoder
        named = [(name, p) for name, p in encoder.named_parameters() if p.requires_grad]
        top = max([encoder.depth_of(name) for name, _ in named], default=0)
        # by depth, and by whether there is weight decay: not for biases and norms, which are vectors
        groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
        for name, parameter in named:
            groups.setdefault((encoder.depth_of(name), parameter.ndim > 1), []).append(parameter)
        layers = [
            {
                "params": parameters,
                "lr": settings.lr * settings.layer_decay ** (top - depth),
                "weight_decay": decayed * settings.weight_decay,
            }
            for (depth, decayed), parameters in groups.items()
        ]
        return [*layers, *param_groups_weight_decay(self.teacher.head, settings.weight_decay)]

    def predict(self, batch: Batch) -> ModelOutput:
        """Return the teacher's output for the privileged input of a batch.

        Raises:
            ValueError: If the batch has no privileged input.
        """
        if "privileged" not in batch:
            raise ValueError("Expected privileged input but the batch has none. A teacher cannot predict from images.")
        return self.forward(batch["privileged"])

    def evaluation_label(self, batch: Batch) -> Tensor:
        """Return the labels (B, K), NaN for samples without privileged input."""
        return mask_missing(batch["label"], batch["has_privileged"])
