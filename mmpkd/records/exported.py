"""A folder that `mmpkd export` wrote: a student as a timm model, with what our own commands need to know of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from data_modules.files.json_file import read_json

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
ONNX = "model.onnx"
CARD = "README.md"
NAMES = (CONFIG, WEIGHTS, ONNX, CARD)
_KEY = "mmpkd"


@dataclass(frozen=True)
class ExportRecord:
    """The entry `mmpkd` in the `config.json` of an exported folder.

    Attributes:
        version: Version of the package that exported it.
        student: Settings of the student.
        mean: Mean that grey values in [0, 1] are normalised with.
        std: Their standard deviation.
        checkpoint_sha256: SHA-256 of the checkpoint that was exported.
        weights_sha256: SHA-256 of `model.safetensors`, or None if there is only ONNX.
        data_license: Strictest licence of the data of student and teacher: `credentialed`, `open` or `synthetic`.
    """

    version: str
    student: Mapping[str, Any]
    mean: float
    std: float
    checkpoint_sha256: str
    weights_sha256: str | None
    data_license: str

    def to_json(self) -> dict[str, Any]:
        """Return the record as the root key of `config.json`."""
        return {_KEY: asdict(self)}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the record of an exported folder; see `of`."""
        return cls.of(read_json(folder / CONFIG), folder)

    @classmethod
    def of(cls, config: Mapping[str, Any], path: Path) -> Self:
        """Return the record in a configuration.

        Raises:
            ValueError: If the configuration holds none, or one of another version.
        """
        try:
            return cls(**config[_KEY])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"Expected a folder that `mmpkd export` wrote but '{path / CONFIG}' has no '{_KEY}' that this version reads. "
                "Export the student again; other timm models are students as model_name: local-dir:FOLDER."
            ) from error


def is_exported(folder: Path) -> bool:
    """Return whether a folder was written by `mmpkd export`."""
    return (folder / CONFIG).is_file() and _KEY in read_json(folder / CONFIG)


def read_exported(folder: Path) -> dict[str, Any]:
    """Return what the checkpoint of an exported student holds, as far as it is not about its training.

    Raises:
        FileNotFoundError: If the folder holds no exported student.
        ValueError: If it holds only ONNX, or weights other than the exported ones.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"Expected a checkpoint, or a folder that `mmpkd export` wrote, but '{folder}' has no {CONFIG}."
        )
    config = read_json(folder / CONFIG)
    record = ExportRecord.of(config, folder)
    if record.weights_sha256 is None:
        raise ValueError(
            f"Expected an exported student with its weights but '{folder}' holds {ONNX} only, for programs other than ours. "
            "Give the checkpoint that it was exported from."
        )
    weights = _weights(folder / WEIGHTS, record.weights_sha256)
    # timm's names of the weights, below the place of the model in our module
    state = {f"student.model.{name}": value for name, value in weights.items()}
    return {
        "student": dict(record.student),
        "input": {"mean": record.mean, "std": record.std, "preparation": config["preparation"]},
        "label_names": list(config["label_names"]),
        "loss_widths": None,
        "state_dict": {**state, "scores.thresholds": torch.tensor(config["thresholds"], dtype=torch.float32)},
        "pytorch-lightning_version": version("lightning"),  # Lightning asks every checkpoint for it
    }


def _weights(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"Expected the weights of an exported student at '{path}' but there are none.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(f"Expected '{path}' as it was exported but it was changed or is damaged. Export it again.")
    try:
        weights: dict[str, torch.Tensor] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"Expected weights in '{path}' but: {error}. Export the student again.") from error
    return weights
