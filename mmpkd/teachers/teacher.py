"""A teacher network, its checkpoint, and its frozen form."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_modules.batch import Privileged
from mmpkd.numerics.precision import Float32Linear
from mmpkd.records.checkpoint import load_of_kind, sha256_of
from mmpkd.students.output import ModelOutput
from mmpkd.teachers.encoders.base import PrivilegedEncoder, describe, encoder_from

MANIFEST = "teacher"


class Teacher(nn.Module):
    """Encoder of privileged input with a linear classification head.

    Args:
        encoder: A built encoder.
        num_classes: Number of labels K.
    """

    def __init__(self, encoder: PrivilegedEncoder, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = Float32Linear(encoder.num_features, num_classes)

    def forward(self, privileged: Privileged) -> ModelOutput:
        """Return logits, float32 (B, K), and features (B, D)."""
        features = self.encoder(privileged)  # (B, D)
        return ModelOutput(self.head(features), features)

    def manifest(self, label_names: tuple[str, ...]) -> dict[str, Any]:
        """Return everything except the weights that is needed to rebuild this teacher, as primitives."""
        return {**describe(self.encoder), "inputs": self.encoder.inputs, "label_names": list(label_names)}


@dataclass(frozen=True)
class TeacherIdentity:
    """Hashes that identify a teacher.

    Attributes:
        checkpoint_sha256: Hash of the checkpoint file.
        configuration_sha256: Hash of the encoder's class and settings.
        inputs_sha256: Hash of tokenizer or columns, vocabulary and statistics.
    """

    checkpoint_sha256: str
    configuration_sha256: str
    inputs_sha256: str


class FrozenTeacher:
    """A teacher that cannot be trained: without gradients and always in eval mode.

    It is not an `nn.Module`, so a module that has it as an attribute neither moves it, nor lists its parameters, nor saves it.

    Args:
        teacher: The network.
        label_names: Names of the K labels, in the order of the logits.
        identity: Hashes of the checkpoint that it was loaded from.
    """

    def __init__(self, teacher: Teacher, label_names: tuple[str, ...], identity: TeacherIdentity) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.label_names = label_names
        self.identity = identity

    def to(self, device: torch.device) -> "FrozenTeacher":
        """Move the network to a device."""
        self.teacher.to(device)
        return self

    @torch.no_grad()
    def __call__(self, privileged: Privileged) -> ModelOutput:
        """Return logits (B, K) and features (B, D) without a graph, in float32 whatever the student's precision."""
        self.teacher.eval()  # again, in case `train` was called on the network
        with torch.autocast(next(self.teacher.parameters()).device.type, enabled=False):
            return ModelOutput(*(value.float() for value in self.teacher(privileged)))


def build_teacher(manifest: dict[str, Any]) -> Teacher:
    """Build an untrained teacher from its manifest, see `Teacher.manifest`."""
    encoder = encoder_from(manifest)
    encoder.build(manifest["inputs"])
    return Teacher(encoder, len(manifest["label_names"]))


def load_teacher(checkpoint: str | Path, trust_remote_code: bool = False) -> FrozenTeacher:
    """Load a trained teacher and freeze it.

    Args:
        checkpoint: `checkpoints/best.ckpt` of a teacher's run.
        trust_remote_code: Whether to run Python code that comes with the teacher's text encoder. A checkpoint alone cannot
            allow this, because it may come from somebody else.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not the checkpoint of a teacher, or it needs remote code that is not trusted.
    """
    checkpoint = Path(checkpoint)
    saved = load_of_kind(checkpoint, MANIFEST, "teacher")
    manifest = saved[MANIFEST]
    if not trust_remote_code:
        check_trusted(manifest, checkpoint)
    # the initial weights are overwritten, and drawing them must not change the training that loads the teacher
    with torch.random.fork_rng(devices=[]):
        teacher = build_teacher(manifest)
    prefix = "teacher."
    weights = {key.removeprefix(prefix): value for key, value in saved["state_dict"].items() if key.startswith(prefix)}
    teacher.load_state_dict(weights)
    # separate hashes, so that a mismatch of stored targets can say what has changed
    configuration = {name: manifest[name] for name in ("encoder", "settings")}
    identity = TeacherIdentity(sha256_of(checkpoint), _sha256(configuration), _sha256(manifest["inputs"]))
    return FrozenTeacher(teacher, tuple(manifest["label_names"]), identity)


def check_trusted(manifest: dict[str, Any], checkpoint: str | Path) -> None:
    """Raise a ValueError if a teacher needs Python code that comes with its text encoder."""
    if _runs_remote_code(manifest):
        raise ValueError(
            f"Expected a teacher without remote code but the text encoder of '{checkpoint}' comes with Python code that would "
            "run when the teacher is loaded. Read it, then set model.teacher.trust_remote_code, or pass --trust-remote-code."
        )


def _runs_remote_code(settings: Any) -> bool:
    if not isinstance(settings, dict):
        return False
    return settings.get("trust_remote_code") is True or any(map(_runs_remote_code, settings.values()))


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


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
    """Return labels (B, K) with NaN in rows without privileged input, where a teacher is neither trained nor scored."""
    return torch.where(has_privileged[:, None], label, torch.nan)
