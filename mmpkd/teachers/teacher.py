"""A teacher network, its checkpoint, and its frozen form."""

import hashlib
import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_modules.batch import Privileged
from mmpkd.outputs import ModelOutput
from mmpkd.teachers.base import PrivilegedEncoder

MANIFEST = "teacher"


class Teacher(nn.Module):
    """Encoder of privileged input and a linear head.

    Args:
        encoder: A built encoder.
        num_classes: Number of labels K.
    """

    def __init__(self, encoder: PrivilegedEncoder, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.num_features, num_classes)

    def forward(self, privileged: Privileged) -> ModelOutput:
        """Return logits (B, K) and features (B, D)."""
        features = self.encoder(privileged)
        return ModelOutput(self.head(features), features)

    def manifest(self, label_names: tuple[str, ...]) -> dict[str, Any]:
        """Return what a checkpoint needs, besides weights, to build this teacher again; primitives only."""
        kind = type(self.encoder)
        return {
            "encoder": f"{kind.__module__}.{kind.__qualname__}",
            "settings": self.encoder.settings,
            "inputs": self.encoder.inputs,
            "label_names": list(label_names),
        }


class FrozenTeacher:
    """A teacher that cannot learn: no gradient, always in eval mode, and no part of any module that holds it.

    Since this is no `nn.Module`, the holder neither moves it, nor lists its parameters, nor saves it.

    Args:
        teacher: The network.
        label_names: Labels, in the order of the logits.
        sha256: Hash of the checkpoint that it was loaded from.
    """

    def __init__(self, teacher: Teacher, label_names: tuple[str, ...], sha256: str) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.label_names = label_names
        self.sha256 = sha256

    def to(self, device: torch.device) -> "FrozenTeacher":
        """Move the network to a device."""
        self.teacher.to(device)
        return self

    @torch.no_grad()
    def __call__(self, privileged: Privileged) -> ModelOutput:
        """Return float32 logits (B, K) and features (B, D), without a graph."""
        self.teacher.eval()
        return ModelOutput(*(value.float() for value in self.teacher(privileged)))


def build_teacher(manifest: dict[str, Any]) -> Teacher:
    """Build an untrained teacher from its manifest."""
    module, _, name = manifest["encoder"].rpartition(".")
    encoder = getattr(importlib.import_module(module), name)(**manifest["settings"])
    if not isinstance(encoder, PrivilegedEncoder):
        raise TypeError(f"Expected a PrivilegedEncoder but '{manifest['encoder']}' is a {type(encoder).__name__}.")
    encoder.build(manifest["inputs"])
    return Teacher(encoder, len(manifest["label_names"]))


def load_teacher(checkpoint: Path) -> FrozenTeacher:
    """Load a trained teacher, frozen.

    Args:
        checkpoint: `checkpoints/best.ckpt` of a teacher's run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not the checkpoint of a teacher.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(f"Expected the teacher's checkpoint at '{checkpoint}'. Train the teacher first.")
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if MANIFEST not in saved:
        raise ValueError(f"Expected the checkpoint of a teacher but '{checkpoint}' holds {sorted(saved)}.")
    manifest = saved[MANIFEST]
    teacher = build_teacher(manifest)
    prefix = "teacher."
    weights = {key.removeprefix(prefix): value for key, value in saved["state_dict"].items() if key.startswith(prefix)}
    teacher.load_state_dict(weights)
    return FrozenTeacher(teacher, tuple(manifest["label_names"]), sha256_of(checkpoint))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move_privileged(privileged: Privileged, device: torch.device) -> Privileged:
    """Move the tensors of privileged input to a device."""
    moved: Privileged = {}
    if "report" in privileged:
        moved["report"] = privileged["report"]
    if "numeric" in privileged:
        moved["numeric"] = privileged["numeric"].to(device)
    if "categorical" in privileged:
        moved["categorical"] = privileged["categorical"].to(device)
    return moved


def mask_missing(label: Tensor, has_privileged: Tensor) -> Tensor:
    """Return labels (B, K) with NaN in rows without privileged input: a teacher neither learns nor is scored there."""
    return torch.where(has_privileged[:, None], label, torch.nan)
