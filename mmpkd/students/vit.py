"""The student: any timm vision transformer, by name, with an output that losses and attributions understand."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

import mmpkd.students.nano  # noqa: F401  registers vit_nano_patch8_64 with timm
from data_modules.suggestion import did_you_mean
from mmpkd.attribution.layout import check_whole_patches
from mmpkd.attribution.padding import pads_to_patches
from mmpkd.attribution.recording.compiled_features import CompiledFeatures
from mmpkd.numerics.precision import linear_in_float32
from mmpkd.records.checkpoint import load_of_kind
from mmpkd.students.fold import fold_normalisation, grey_convolution
from mmpkd.students.output import ModelOutput

Option = int | float | str | bool


class VisionTransformerStudent(nn.Module):
    """A timm vision transformer that sees the image and nothing else.

    Args:
        model_name: A timm name (`timm.list_models("*vit*")`), `hf-hub:...`, or `local-dir:...`.
        num_classes: Number of labels K.
        image_size: Side of the input, a multiple of the patch size; timm resizes position embeddings. With the options
            `dynamic_img_size` and `dynamic_img_pad`, any: the student fills up incomplete patches.
        in_chans: Input channels.
        pretrained: Load timm's weights; needs the network or a filled cache. For one channel, the normalisation that they
            expect is folded into the patch embedding.
        options: Further arguments of `timm.create_model`, such as `drop_path_rate` or `depth`.
        input_mean: Mean that grey values in [0, 1] are normalised with; pretrained weights are adapted to it.
        input_std: Their standard deviation.
        patch_bias: Whether the patch embedding has a bias although the model's own has none: folding adds one.

    Raises:
        ValueError: If timm does not know the model or has no pretrained weights of it, the model is no transformer or does not
            take the options, its patches do not cover exactly the image, or its weights cannot be adapted to one channel.
    """

    def __init__(
        self,
        model_name: str,
        num_classes: int,
        image_size: int,
        in_chans: int = 1,
        pretrained: bool = False,
        options: Mapping[str, Option] | None = None,
        input_mean: float = 0.5,
        input_std: float = 0.25,
        patch_bias: bool = False,
    ) -> None:
        super().__init__()
        if ":" not in model_name and not timm.is_model(model_name):
            hint = did_you_mean(model_name.split(".")[0], timm.list_models())
            raise ValueError(f"Expected a timm model name but timm knows no '{model_name}'.{hint}")
        if pretrained and ":" not in model_name and not timm.models.is_model_pretrained(model_name):
            raise ValueError(
                f"Expected a model with pretrained weights but timm has none of '{model_name}'. Set model.pretrained "
                "to false, or choose one of `timm.list_models('*vit*', pretrained=True)`."
            )
        fold = pretrained and in_chans == 1
        try:
            self.model = timm.create_model(
                model_name,
                pretrained=pretrained,
                num_classes=num_classes,
                img_size=image_size,
                in_chans=3 if fold else in_chans,
                **dict(options or {}),
            )
        except TypeError as error:
            raise ValueError(
                f"Expected a timm vision transformer, with options that it takes, but got '{model_name}' with "
                f"{dict(options or {})}: {error}. Choose one of `timm.list_models('*vit*')`."
            ) from error
        except AssertionError as error:  # some models check sizes themselves, with few words or none
            settings = f"image size {image_size} and options {dict(options or {})}"
            raise ValueError(
                f"Expected {settings} to fit {model_name} but timm refuses them. {error}".rstrip()
            ) from error
        if not pads_to_patches(self.model):
            check_whole_patches(self.model, (image_size, image_size))
        if fold:
            cfg = self.model.pretrained_cfg
            fold_normalisation(self.model, tuple(cfg["mean"]), tuple(cfg["std"]), input_mean, input_std)
        elif patch_bias:
            self.model.patch_embed.proj = grey_convolution(self.model.patch_embed.proj)
        self.settings: dict[str, Any] = {
            "model_name": model_name,
            "num_classes": num_classes,
            "image_size": image_size,
            "in_chans": in_chans,
            "options": dict(options or {}),
            "patch_bias": fold or patch_bias,
        }

    @property
    def num_features(self) -> int:
        """Width D of the features."""
        return int(self.model.head_hidden_size)

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before the patches: class, distillation and register tokens."""
        return int(self.model.num_prefix_tokens)

    def compile_features(self, backend: str = "inductor") -> None:
        """Compile the network up to its tokens with `torch.compile`; names of weights stay as they are, and copies run their own.

        Args:
            backend: What `torch.compile` compiles with.
        """
        self.model.forward_features = CompiledFeatures(self.model, backend)

    @property
    def has_distillation_token(self) -> bool:
        """Whether a token and a head of its own learn from the teacher (distilled DeiT)."""
        return hasattr(self.model, "head_dist")

    def forward_training(self, image: Tensor) -> tuple[ModelOutput, ModelOutput]:
        """Return what is trained on labels, and what is compared with a teacher.

        Both are the same output, unless the model has a distillation token: then the second one is the output of that token's
        own head, as in DeiT (Touvron et al. 2021, https://arxiv.org/abs/2012.12877, sec. 4). Its prediction is the mean of both.

        Args:
            image: Float (B, C, H, W), normalised.
        """
        if not self.has_distillation_token:
            output = self(image)
            return output, output
        tokens = self.model.forward_features(image)
        classifier, distilled = self.model.head, self.model.head_dist
        features, distilled_features = tokens[:, 0], tokens[:, 1]
        return (
            ModelOutput(_logits(classifier, self.model.head_drop(features)), features),
            ModelOutput(_logits(distilled, self.model.head_drop(distilled_features)), distilled_features),
        )

    def forward(self, image: Tensor) -> ModelOutput:
        """Classify images.

        Args:
            image: Float (B, C, H, W), normalised.

        Returns:
            Logits, float32 (B, K), and features (B, D).
        """
        tokens = self.model.forward_features(image)
        features = self.model.forward_head(tokens, pre_logits=True)
        classifier = self.model.get_classifier()
        if isinstance(classifier, nn.Module):
            return ModelOutput(_logits(classifier, features), features)
        # distilled DeiT has two heads and averages their logits itself
        return ModelOutput(self.model.forward_head(tokens).float(), features)


def _logits(classifier: nn.Module, features: Tensor) -> Tensor:
    """Return logits in float32, whatever the precision of the network before them."""
    if isinstance(classifier, nn.Linear):
        return linear_in_float32(classifier, features)
    logits: Tensor = classifier(features)
    return logits.float()


def load_student(checkpoint: Path) -> VisionTransformerStudent:
    """Load a trained student in eval mode from a checkpoint of a run; no teacher is needed.

    Args:
        checkpoint: `checkpoints/best.ckpt` of a baseline or distilled run.

    Raises:
        ValueError: If the checkpoint is not one of a student.
    """
    saved = _read(checkpoint)
    # the first, random weights are overwritten: what is drawn for them must not change a training that loads the student
    with torch.random.fork_rng(devices=[]):
        student = VisionTransformerStudent(**saved["student"])
    prefix = "student."
    weights = {key.removeprefix(prefix): value for key, value in saved["state_dict"].items() if key.startswith(prefix)}
    student.load_state_dict(weights)
    return student.eval()


@dataclass(frozen=True)
class TrainedStudent:
    """A student with everything that is needed to show it new images.

    Attributes:
        student: The network, in eval mode.
        label_names: Labels, in the order of the logits.
        thresholds: Float (K,), probabilities at which F1 was best on validation.
        preparation: How files become images, see `data_modules.preparation.Preparation.describe`.
        mean: Mean that images are normalised with.
        std: Standard deviation.
    """

    student: VisionTransformerStudent
    label_names: tuple[str, ...]
    thresholds: Tensor
    preparation: dict[str, Any]
    mean: float
    std: float


def load_trained_student(checkpoint: Path) -> TrainedStudent:
    """Load a student and how it sees images.

    Args:
        checkpoint: `checkpoints/best.ckpt` of a baseline or distilled run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint is not one of a student.
    """
    saved = _read(checkpoint)
    seen = saved["input"]
    return TrainedStudent(
        load_student(checkpoint),
        tuple(saved["label_names"]),
        saved["state_dict"]["scores.thresholds"].float(),
        seen["preparation"],
        seen["mean"],
        seen["std"],
    )


def student_labels(checkpoint: Path) -> tuple[str, ...]:
    """Return the labels that a student was trained on, in the order of its logits.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint is not one of a student.
    """
    return tuple(_read(checkpoint)["label_names"])


def check_student_input(checkpoint: Path, image_size: int, mean: float, std: float) -> None:
    """Check that a student expects images as they are served.

    Raises:
        ValueError: If size or normalisation differ.
    """
    saved = _read(checkpoint)
    expected = {"image_size": saved["student"]["image_size"], **{key: saved["input"][key] for key in ("mean", "std")}}
    found = {"image_size": image_size, "mean": mean, "std": std}
    if found != expected:
        raise ValueError(
            f"Expected images as the student of '{checkpoint}' was trained on, {expected}, but the data give {found}."
        )


def _read(checkpoint: Path) -> dict[str, Any]:
    return load_of_kind(checkpoint, "student", "student")
