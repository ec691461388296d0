"""The student: any timm vision transformer, by name, with an output that losses and attributions understand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import timm
from timm.models import get_model_args
from torch import Tensor, nn

import mmpkd.students.nano  # noqa: F401  registers vit_nano_patch8_64 with timm
from data_modules.suggestion import did_you_mean
from mmpkd.attribution.layout import check_whole_patches
from mmpkd.attribution.padding import pads_to_patches
from mmpkd.attribution.recording.compiled_features import CompiledFeatures
from mmpkd.numerics.precision import linear_in_float32
from mmpkd.students.fold import fold_normalisation, grey_convolution
from mmpkd.students.output import ModelOutput
from mmpkd.students.trainable import freeze_all_but_heads, freeze_blocks, set_frozen_eval
from mmpkd.students.transformers_weights import (
    check_normalisation_is_known,
    transformers_folder,
    transformers_model,
)

Option = int | float | str | bool | dict[str, Any]
# says where weights are, which are not needed when a student is built again
_WEIGHTS_OPTION = "pretrained_cfg_overlay"


class VisionTransformerStudent(nn.Module):
    """A timm vision transformer that sees the image and nothing else.

    What is frozen stays in eval mode, also while the rest is trained.

    Args:
        model_name: A timm name (`timm.list_models("*vit*")`), `hf-hub:...`, or `local-dir:...`; both may hold a timm model, or
            ViT, DeiT, DINOv2 (with registers or without) or DINOv3 in the format of transformers.
        num_classes: Number of labels K; the command line takes it from the data module.
        image_size: Side of the input, a multiple of the patch size; timm resizes position embeddings. With the options
            `dynamic_img_size` and `dynamic_img_pad`, any: the student fills up incomplete patches. The command line takes it
            from the data module.
        in_chans: Input channels; the command line takes them from the data module.
        pretrained: Load timm's weights; needs the network or a filled cache. For one channel, the normalisation that they
            expect is folded into the patch embedding.
        options: Further arguments of `timm.create_model`, such as `drop_path_rate` or `depth`; `pretrained_cfg_overlay` says
            where other weights of the model are.
        mean: Mean that grey values in [0, 1] are normalised with; pretrained weights are adapted to it. The command line takes
            it from the data module.
        std: Their standard deviation, likewise.
        patch_bias: Whether the patch embedding has a bias although the model's own has none: folding adds one.
        linear_probe: Train the classification heads only.
        frozen_blocks: Freeze the patch embedding and so many of the first blocks.
        compile: Compile the network up to its tokens with `torch.compile`.

    Raises:
        ValueError: If timm does not know the model or has no pretrained weights of it, the model is no transformer or does not
            take the options, its patches do not cover exactly the image, its weights cannot be adapted to one channel, or it
            has fewer blocks than are to be frozen.
    """

    def __init__(
        self,
        model_name: str,
        num_classes: int,
        image_size: int,
        in_chans: int = 1,
        pretrained: bool = False,
        options: Mapping[str, Option] | None = None,
        mean: float = 0.5,
        std: float = 0.25,
        patch_bias: bool = False,
        linear_probe: bool = False,
        frozen_blocks: int = 0,
        compile: bool = False,
    ) -> None:
        super().__init__()
        fold = pretrained and in_chans == 1
        self.settings: dict[str, Any] = {
            "model_name": model_name,
            "num_classes": num_classes,
            "image_size": image_size,
            "in_chans": in_chans,
            "options": {name: value for name, value in (options or {}).items() if name != _WEIGHTS_OPTION},
            "patch_bias": fold or patch_bias,
        }
        self.mean = mean
        self.std = std
        _check_name(model_name, pretrained)
        sizes = {"num_classes": num_classes, "img_size": image_size, "in_chans": 3 if fold else in_chans}
        self.model = _create(model_name, pretrained, sizes, options or {})
        if ":" in model_name:
            self.settings.update(_of_the_model_itself(self.model, self.settings["options"]))
        if not pads_to_patches(self.model):
            check_whole_patches(self.model, (image_size, image_size))
        if fold:
            cfg = self.model.pretrained_cfg
            fold_normalisation(self.model, tuple(cfg["mean"]), tuple(cfg["std"]), mean, std)
        elif patch_bias:
            self.model.patch_embed.proj = grey_convolution(self.model.patch_embed.proj)
        freeze_blocks(self.model, frozen_blocks)
        if linear_probe:
            freeze_all_but_heads(self.model, self._heads)
        set_frozen_eval(self, self._heads)
        if compile:
            self.compile_features()

    @property
    def num_classes(self) -> int:
        """Number of labels K."""
        return int(self.settings["num_classes"])

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

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, except what is frozen."""
        super().train(mode)
        if mode:
            set_frozen_eval(self, self._heads)
        return self

    @property
    def _heads(self) -> Sequence[nn.Module]:
        """The classification heads: one, or two of a model with a distillation token."""
        classifier = self.model.get_classifier()
        return classifier if isinstance(classifier, tuple) else (classifier,)

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
        classifier = self.model.head
        distilled = self.model.head_dist
        features = tokens[:, 0]
        distilled_features = tokens[:, 1]
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


def _check_name(model_name: str, pretrained: bool) -> None:
    """Check a name of timm's own; what is on a hub or in a folder is found when it is loaded."""
    if ":" in model_name:
        return
    if not timm.is_model(model_name):
        hint = did_you_mean(model_name.split(".")[0], timm.list_models())
        raise ValueError(f"Expected a timm model name but timm knows no '{model_name}'.{hint}")
    if pretrained and not timm.models.is_model_pretrained(model_name):
        raise ValueError(
            f"Expected a model with pretrained weights but timm has none of '{model_name}'. Set model.student.pretrained "
            "to false, or choose one of `timm.list_models('*vit*', pretrained=True)`."
        )


def _of_the_model_itself(model: nn.Module, options: Mapping[str, Option]) -> dict[str, Any]:
    """Return name and options of a model that came from a folder or a hub, which need not be there when it is built again."""
    own = {"num_classes", "img_size", "in_chans"}
    arguments = {name: value for name, value in get_model_args(model).items() if name not in own}
    return {"model_name": model.pretrained_cfg["architecture"], "options": {**arguments, **options}}  # type: ignore[index]


def _create(model_name: str, pretrained: bool, sizes: Mapping[str, int], options: Mapping[str, Option]) -> Any:
    """Return timm's model.

    Raises:
        ValueError: If timm refuses the sizes or the options.
    """
    folder = transformers_folder(model_name)
    if folder is not None:
        return _of_transformers(folder, pretrained, sizes, options)
    try:
        return timm.create_model(model_name, pretrained=pretrained, **sizes, **options)
    except TypeError as error:
        raise ValueError(
            f"Expected a timm vision transformer, with options that it takes, but got '{model_name}' with {dict(options)}: "
            f"{error}. Choose one of `timm.list_models('*vit*')`."
        ) from error
    except AssertionError as error:  # some models check sizes themselves, with few words or none
        settings = f"image size {sizes['img_size']} and options {dict(options)}"
        raise ValueError(f"Expected {settings} to fit {model_name} but timm refuses them. {error}".rstrip()) from error


def _of_transformers(folder: Path, pretrained: bool, sizes: Mapping[str, int], options: Mapping[str, Option]) -> Any:
    if not pretrained:
        raise ValueError(
            f"Expected pretrained: true with '{folder}', which holds weights of transformers, but it is false. For random "
            "weights, choose a model of timm's."
        )
    check_normalisation_is_known(folder)
    return transformers_model(folder, sizes, options)
