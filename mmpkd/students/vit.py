"""The student: any timm vision transformer, by name, with an output that losses and attributions understand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

import mmpkd.students.nano  # noqa: F401  registers vit_nano_patch8_64 with timm
from mmpkd.outputs import ModelOutput
from mmpkd.students.fold import fold_normalisation, grey_convolution

Option = int | float | str | bool


class VisionTransformerStudent(nn.Module):
    """A timm vision transformer that sees the image and nothing else.

    Args:
        model_name: A timm name (`timm.list_models("*vit*")`), `hf-hub:...`, or `local-dir:...`.
        num_classes: Number of labels K.
        image_size: Side of the input; timm resizes position embeddings.
        in_chans: Input channels.
        pretrained: Load timm's weights; needs the network or a filled cache. For one channel, the normalisation that they
            expect is folded into the patch embedding.
        options: Further arguments of `timm.create_model`, such as `drop_path_rate` or `depth`.
        input_mean: Mean that grey values in [0, 1] are normalised with; pretrained weights are adapted to it.
        input_std: Their standard deviation.
        patch_bias: Whether the patch embedding has a bias although the model's own has none: folding adds one.

    Raises:
        ValueError: If timm does not know the model, or its weights cannot be adapted to one channel.
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
            import difflib

            near = difflib.get_close_matches(model_name.split(".")[0], timm.list_models(), n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"Expected a timm model name but timm knows no '{model_name}'.{hint}")
        fold = pretrained and in_chans == 1
        self.model = timm.create_model(
            model_name,
            pretrained=pretrained,
            num_classes=num_classes,
            img_size=image_size,
            in_chans=3 if fold else in_chans,
            **dict(options or {}),
        )
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
    def grid_size(self) -> tuple[int, int]:
        """Patches (rows, columns) of an image of the configured size."""
        rows, columns = self.model.patch_embed.grid_size
        return int(rows), int(columns)

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before the patches: class, distillation and register tokens."""
        return int(self.model.num_prefix_tokens)

    def forward(self, image: Tensor) -> ModelOutput:
        """Classify images.

        Args:
            image: Float (B, C, H, W), normalised.

        Returns:
            Logits (B, K) and features (B, D).
        """
        tokens = self.model.forward_features(image)
        features = self.model.forward_head(tokens, pre_logits=True)
        classifier = self.model.get_classifier()
        # distilled DeiT has two heads and averages their logits itself
        logits = classifier(features) if isinstance(classifier, nn.Module) else self.model.forward_head(tokens)
        return ModelOutput(logits, features)


def load_student(checkpoint: Path) -> VisionTransformerStudent:
    """Load a trained student in eval mode from a checkpoint of a run; no teacher is needed.

    Args:
        checkpoint: `checkpoints/best.ckpt` of a baseline or distilled run.

    Raises:
        ValueError: If the checkpoint is not one of a student.
    """
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if "student" not in saved:
        raise ValueError(f"Expected the checkpoint of a student but '{checkpoint}' holds {sorted(saved)}.")
    student = VisionTransformerStudent(**saved["student"])
    prefix = "student."
    weights = {key.removeprefix(prefix): value for key, value in saved["state_dict"].items() if key.startswith(prefix)}
    student.load_state_dict(weights)
    return student.eval()
