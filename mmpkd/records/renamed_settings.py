"""Settings that have been renamed, for messages about old names and old run folders."""

from collections.abc import Mapping
from typing import Any

# the last commits that read run folders with the old names; settings of the model were renamed before those of the data
LAST_COMMITS = {"model": "fdf56a5", "data": "15853fb"}
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
_OF_TABLE = {
    "split_column": "data.split.column",
    "train_value": "data.split.train",
    "val_value": "data.split.val",
    "test_value": "data.split.test",
    "text_column": "data.privileged.text",
    "numeric_columns": "data.privileged.numeric",
    "categorical_columns": "data.privileged.categorical",
    "category_separator": "data.privileged.separator",
    "roi_label": "data.rois.label",
    "roi_label_column": "data.rois.label_column",
    "mask_pattern": "data.rois.mask_pattern",
    "mask_columns": "data.rois.mask_columns",
    "box_columns": "data.rois.box_columns",
    "box_format": "data.rois.box_format",
    "ellipse_columns": "data.rois.ellipse_columns",
    "circle_columns": "data.rois.circle_columns",
    "roi_patients": "data.rois.patients",
    "roi_area": "data.rois.area",
}
_OF_MIMIC_CXR = {
    "roi_root": "data.rois.root",
    "roi_source": "data.rois.source",
    "roi_split": "data.rois.split",
    "min_certainty": "data.rois.min_certainty",
}
_OF_CBIS_DDSM = {
    "crop_breast": "data.breast.crop",
    "breast_threshold": "data.breast.threshold",
    "window_percentiles": "data.breast.window_percentiles",
    "remove_background": "data.breast.remove_background",
}
_RENAMED = {
    "DistillationModule": _OF_STUDENTS,
    "TeacherModule": _OF_TEACHERS,
    "TextEncoder": _OF_TEXT,
    "TableDataModule": _OF_TABLE,
    "MIMICCXRDataModule": _OF_MIMIC_CXR,
    "CBISDDSMDataModule": _OF_CBIS_DDSM,
}


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
    for part in ("model", "data"):
        _check_part(part, settings.get(part) or {}, where)


def _check_part(part: str, settings: Mapping[str, Any], where: str) -> None:
    arguments: Mapping[str, Any] = settings.get("init_args") or {}
    for option, value in arguments.items():
        # text under `student` or `teacher` is the old setting, a mapping the present group
        is_group = option in _PARTS and isinstance(value, Mapping)
        name = None if value is None or is_group else present_name(str(settings.get("class_path")), option)
        if name is not None:
            raise ValueError(
                f"Expected a run folder of this version but '{where}' is from an older one: {part}.{option} is now {name}. Use "
                f"another folder (--run.dir), or continue this one at commit {LAST_COMMITS[part]}."
            )
