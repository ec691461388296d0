"""Settings that have other names than they once had: for whoever still uses the old ones, and for old run folders."""

import re
from collections.abc import Mapping
from typing import Any

# the last commit that reads folders with the old names
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
_OF_MODULES = {old: f"model.{part}.{new}" for part, names in _PARTS.items() for old, new in names.items()}
_OF_TEXT = {
    "pretrained": "model.encoder.pretrained.name",
    "revision": "model.encoder.pretrained.revision",
    "allow_download": "model.encoder.pretrained.allow_download",
    "trust_remote_code": "model.encoder.pretrained.trust_remote_code",
    "long_texts": "model.encoder.windows",
    "window_overlap": "model.encoder.windows.overlap",
}
_RENAMED = {"DistillationModule": _OF_MODULES, "TeacherModule": _OF_MODULES, "TextEncoder": _OF_TEXT}
# what jsonargparse says of an option that a class does not know, or of a name in place of an object
_UNKNOWN = re.compile(
    r"class_path '([\w.]+)':\s+(?:Option '([\w.]+)' is not accepted|unrecognized arguments: --([\w.]+)|"
    r"Parser key \"(\w+)\":\s+- Expected a path)"
)


def present_name(class_path: str, option: str) -> str | None:
    """Return the name of an option that was once an argument of a class, or None if it was none.

    Args:
        class_path: The class, for example `mmpkd.modules.DistillationModule`.
        option: Its argument, perhaps with a part of it: `student_options.depth`.

    Returns:
        The option, for example `model.student.options.depth`.
    """
    argument, dot, part = option.partition(".")
    name = _RENAMED.get(class_path.rpartition(".")[2], {}).get(argument)
    return None if name is None else f"{name}{dot}{part}"


def present_name_in(message: str) -> str | None:
    """Return the name of the option that the parser does not know any more, by its message, or None if it never did."""
    for found in _UNKNOWN.finditer(message):
        class_path, *options = found.groups()
        name = present_name(class_path, next(option for option in options if option))
        if name is not None:
            return name
    return None


def check_names(settings: Mapping[str, Any], where: str) -> None:
    """Check that the settings of a run have the names of today.

    Args:
        settings: Complete settings of a run.
        where: The file that they come from.

    Raises:
        ValueError: If they have older ones.
    """
    model = settings.get("model") or {}
    arguments: Mapping[str, Any] = model.get("init_args") or {}
    known = {
        option: present_name(str(model.get("class_path")), option)
        for option, value in arguments.items()
        if not isinstance(value, Mapping) or option not in _PARTS
    }
    renamed = [
        f"model.{old} is {new} now" for old, new in known.items() if new is not None and arguments[old] is not None
    ]
    if renamed:
        raise ValueError(
            f"Expected a run folder of this version but '{where}' is of an older one: {'; '.join(renamed[:2])}. Give another "
            f"folder (--run.dir), or go on with this one at commit {LAST_COMMIT}."
        )
