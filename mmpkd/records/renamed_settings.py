"""Settings that have been renamed, for messages about old names and old run folders."""

from collections.abc import Mapping
from typing import Any

# the last commit that reads run folders with the old names
LAST_COMMIT = "fdf56a5"
_PARTS = {
    "student": {
        "student": "model_name",
        "pretrained": "pretrained",
        "student_options": "options",
        "linear_probe": "linear_probe",
        "frozen_blocks": "frozen_blocks",
        "compile": "compile",
    },
    "teacher": {
        "teacher": "path",
        "teacher_targets": "targets",
        "control": "control",
        "calibrate_teacher": "calibrate",
        "trust_remote_code": "trust_remote_code",
    },
    "objective": {
        "distillation_weight": "weight",
        "temperature": "temperature",
        "mode": "mode",
        "distillation_loss": "loss",
        "extra_losses": "extra_losses",
        "normaliser": "normaliser",
        "label_smoothing": "label_smoothing",
        "pos_weight": "pos_weight",
    },
    "optimizer": {
        "lr": "lr",
        "weight_decay": "weight_decay",
        "betas": "betas",
        "warmup_fraction": "warmup_fraction",
        "layer_decay": "layer_decay",
    },
}
_OF_STUDENTS = {old: f"model.{part}.{new}" for part, names in _PARTS.items() for old, new in names.items()}
_OF_TEACHERS = {old: f"model.optimizer.{new}" for old, new in _PARTS["optimizer"].items()}
_OF_TEXT = {
    "pretrained": "model.encoder.pretrained.name",
    "revision": "model.encoder.pretrained.revision",
    "allow_download": "model.encoder.pretrained.allow_download",
    "trust_remote_code": "model.encoder.pretrained.trust_remote_code",
    "long_texts": "model.encoder.windows",
    "window_overlap": "model.encoder.windows.overlap",
}
_RENAMED = {"DistillationModule": _OF_STUDENTS, "TeacherModule": _OF_TEACHERS, "TextEncoder": _OF_TEXT}


def present_name(class_path: str, option: str) -> str | None:
    """Return the current name of an option, given its old name as an argument of a class, or None if it has no other name.

    Args:
        class_path: The class, for example `mmpkd.modules.DistillationModule`.
        option: Its argument, perhaps with a part of it: `student_options.depth`.

    Returns:
        The option, for example `model.student.options.depth`.
    """
    argument, dot, part = option.partition(".")
    name = _RENAMED.get(class_path.rpartition(".")[2], {}).get(argument)
    return None if name is None else f"{name}{dot}{part}"


def check_names(settings: Mapping[str, Any], where: str) -> None:
    """Check that the settings of a run have their current names.

    Args:
        settings: Complete settings of a run.
        where: File that contains them.

    Raises:
        ValueError: If a name is an old one.
    """
    model = settings.get("model") or {}
    arguments: Mapping[str, Any] = model.get("init_args") or {}
    for option, value in arguments.items():
        is_part = option in _PARTS and isinstance(value, Mapping)
        name = None if value is None or is_part else present_name(str(model.get("class_path")), option)
        if name is not None:
            raise ValueError(
                f"Expected a run folder of this version but '{where}' is from an older one: model.{option} is now {name}. Use "
                f"another folder (--run.dir), or continue this one at commit {LAST_COMMIT}."
            )
