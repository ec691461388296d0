"""The student: any timm vision transformer, wrapped so that it returns logits and features."""

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
    """A timm vision transformer that classifies images.

    Frozen parts stay in eval mode, also while the rest is trained.

    Args:
        model_name: A timm model name (`timm.list_models("*vit*")`), `hf-hub:...`, or `local-dir:...`. The last two may hold a
            timm model, or a ViT, DeiT, DINOv2 (with or without registers) or DINOv3 in the format of transformers.
        num_classes: Number of labels K. The command line sets it from the data module.
        image_size: Side of the input in pixels, a multiple of the patch size; timm resizes position embeddings. With the options
            `dynamic_img_size` and `dynamic_img_pad`, any size: the student pads incomplete patches. The command line sets it
            from the data module.
        in_chans: Number of input channels. The command line sets it from the data module.
        pretrained: Load timm's weights, from the network or the local cache. For one channel, the normalisation that they
            expect is folded into the patch embedding.
        options: Further arguments of `timm.create_model`, such as `drop_path_rate` or `depth`; `pretrained_cfg_overlay` says
            where other weights of the model are.
        mean: Mean that grey values in [0, 1] are normalised with; pretrained weights are adapted to it. The command line sets it
            from the data module.
        std: Standard deviation that they are normalised with, likewise.
        patch_bias: Give the patch embedding a bias even if the model has none there. Needed to load weights with a folded
            normalisation, which adds a bias.
        linear_probe: Train only the classification heads.
        frozen_blocks: Freeze the patch embedding and this number of blocks at the input.
        compile: Compile the network up to its output tokens with `torch.compile`.

    Raises:
        ValueError: If timm does not know the model or has no pretrained weights for it, the model is no transformer or does not
            take the options, the image size is not a multiple of the patch size, the weights cannot be adapted to one channel,
            or the model has fewer blocks than should be frozen.
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
        # pretrained weights have three channels, which folding turns into one
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
        # after folding, which replaces the patch embedding
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
        """Number of tokens before the patches: class, distillation and register tokens."""
        return int(self.model.num_prefix_tokens)

    def compile_features(self, backend: str = "inductor") -> None:
        """Compile the network up to its output tokens with `torch.compile`.

        The names of parameters do not change, and a copy of the student uses its own weights.

        Args:
            backend: Backend of `torch.compile`.
        """
        self.model.forward_features = CompiledFeatures(self.model, backend)

    def train(self, mode: bool = True) -> Self:
        """Set training mode for everything that is not frozen."""
        super().train(mode)
        if mode:
            set_frozen_eval(self, self._heads)
        return self

    @property
    def _heads(self) -> Sequence[nn.Module]:
        """The classification heads: two if the model has a distillation token, otherwise one."""
        classifier = self.model.get_classifier()
        return classifier if isinstance(classifier, tuple) else (classifier,)

    @property
    def has_distillation_token(self) -> bool:
        """Whether a separate token and head learn from the teacher (distilled DeiT)."""
        return hasattr(self.model, "head_dist")

    def forward_training(self, image: Tensor) -> tuple[ModelOutput, ModelOutput]:
        """Return the output for the task loss and the output for the distillation loss.

        They are the same unless the model has a distillation token. Then the second one comes from that token's own head, as in
        DeiT (Touvron et al. 2021, https://arxiv.org/abs/2012.12877, section 4), which predicts with the mean of both.

        Args:
            image: Float (B, C, H, W), normalised.

        Returns:
            Two outputs, each with logits, float32 (B, K), and features (B, D).
        """
        if not self.has_distillation_token:
            output = self(image)
            return output, output
        tokens = self.model.forward_features(image)  # (B, N, D)
        classifier = self.model.head
        distilled = self.model.head_dist
        features = tokens[:, 0]  # (B, D), the class token
        distilled_features = tokens[:, 1]  # (B, D), the distillation token
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
        tokens = self.model.forward_features(image)  # (B, N, D)
        features = self.model.forward_head(tokens, pre_logits=True)  # (B, D)
        classifier = self.model.get_classifier()
        if isinstance(classifier, nn.Module):
            return ModelOutput(_logits(classifier, features), features)
        # distilled DeiT has two heads, and timm averages their logits
        return ModelOutput(self.model.forward_head(tokens).float(), features)


def _logits(classifier: nn.Module, features: Tensor) -> Tensor:
    """Return logits in float32, whatever the precision of the network."""
    if isinstance(classifier, nn.Linear):
        return linear_in_float32(classifier, features)
    logits: Tensor = classifier(features)
    return logits.float()


def _check_name(model_name: str, pretrained: bool) -> None:
    """Check a timm model name. Models on a hub or in a folder are only checked when they are loaded."""
    if ":" in model_name:
        return
    if not timm.is_model(model_name):
        hint = did_you_mean(model_name.split(".")[0], timm.list_models())
        raise ValueError(f"Expected the name of a timm model but timm does not know '{model_name}'.{hint}")
    if pretrained and not timm.models.is_model_pretrained(model_name):
        raise ValueError(
            f"Expected a model with pretrained weights but timm has none for '{model_name}'. Set model.student.pretrained "
            "to false, or choose one of `timm.list_models('*vit*', pretrained=True)`."
        )


def _of_the_model_itself(model: nn.Module, options: Mapping[str, Option]) -> dict[str, Any]:
    """Return name and options of a model that came from a folder or a hub, which need not be there when it is built again."""
    own = {"num_classes", "img_size", "in_chans"}
    arguments = {name: value for name, value in get_model_args(model).items() if name not in own}
    return {"model_name": model.pretrained_cfg["architecture"], "options": {**arguments, **options}}  # type: ignore[index]


def _create(model_name: str, pretrained: bool, sizes: Mapping[str, int], options: Mapping[str, Option]) -> Any:
    """Create a timm model.

    Raises:
        FileNotFoundError: If there are no weights in the cache and no network.
        ValueError: If timm refuses the sizes or the options.
    """
    try:
        folder = transformers_folder(model_name)
        if folder is not None:
            return _of_transformers(folder, pretrained, sizes, options)
        return timm.create_model(model_name, pretrained=pretrained, **sizes, **options)
    except TypeError as error:
        raise ValueError(
            f"Expected a timm vision transformer and options that it takes but got '{model_name}' with {dict(options)}: "
            f"{error}. Choose one of `timm.list_models('*vit*')`."
        ) from error
    except OSError as error:
        reason = " ".join(str(error).split())
        # our own errors already say what to do
        if reason.startswith("Expected "):
            raise
        raise FileNotFoundError(
            f"Expected '{model_name}' on the hub of Hugging Face, in the cache or in a folder but it cannot be read ({reason}). "
            "Copy the cache from a machine with internet (HF_HOME), or use local-dir:FOLDER as model_name."
        ) from error
    except AssertionError as error:  # some models check sizes with an assertion, often without a message
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
