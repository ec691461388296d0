"""The folder that a student is exported to."""

import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_modules.files.atomic import write_text
from data_modules.files.json_file import read_json, write_json
from mmpkd.export.model_card import OTHER, model_card
from mmpkd.export.onnx_model import write_onnx
from mmpkd.export.replaced_folder import replacing_folder
from mmpkd.export.scores import temperature
from mmpkd.export.source import ExportSource
from mmpkd.export.timm_folder import reason_against_timm, write_timm_folder
from mmpkd.export.traceable import about_rollout
from mmpkd.records.checkpoint import sha256_of
from mmpkd.records.exported import CARD, CONFIG, ONNX, WEIGHTS, ExportRecord
from mmpkd.students import TrainedStudent

logger = logging.getLogger("mmpkd")
# how an image is fitted into the frame: our names, and timm's
_CROP_MODES = {"stretch": "squash", "pad": "border"}


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        license: Licence of the model, as Hugging Face names licences.
        onnx: Whether to write an ONNX file as well.
        rollout: Whether the ONNX file has the rollout as an output.
    """

    license: str = OTHER
    onnx: bool = False
    rollout: bool = False


def export_student(source: ExportSource, out: Path, options: ExportOptions) -> None:
    """Export a student.

    Args:
        source: The student, see `open_source`.
        out: Folder to write. It must be new, empty, or from an earlier export, which is replaced.
        options: Options of the export.

    Raises:
        FileExistsError: If the folder holds something else.
        RuntimeError: If another process exports to it.
        ValueError: If the student cannot be exported as asked for, or the folder cannot be replaced.
    """
    if options.rollout and not options.onnx:
        raise ValueError("Expected --onnx with --rollout, which is an output of ONNX, but it is missing. Add --onnx.")
    reason = reason_against_timm(source.trained.student)
    if reason is not None and not options.onnx:
        raise ValueError(
            f"Expected a student that timm can build by itself but {reason}. Add --onnx to export it as ONNX only."
        )
    if reason is not None:
        logger.warning("ONNX only, no timm folder: %s.", reason)
    with replacing_folder(out) as folder:
        _write(source, folder, options, has_timm=reason is None)


def _write(source: ExportSource, folder: Path, options: ExportOptions, has_timm: bool) -> None:
    trained = source.trained
    student = trained.student
    calibration = temperature(source)
    extra: dict[str, Any] = {
        "label_names": list(trained.label_names),
        "preparation": None if trained.preparation is None else trained.preparation.describe(),
        "thresholds": trained.thresholds.tolist(),
        "calibration_temperature": calibration,
    }
    if has_timm:
        write_timm_folder(student, folder, options.license, _crop_mode(trained), extra)
        config = read_json(folder / CONFIG)
    else:
        config = {"problem_type": "multi_label_classification", "num_classes": student.num_classes, **extra}
    record = ExportRecord(
        version("mmpkd"),
        student.settings,
        student.mean,
        student.std,
        source.sha256,
        # our commands refuse weights that were changed after the export
        sha256_of(folder / WEIGHTS) if has_timm else None,
        source.data_license,
    )
    write_json(folder / CONFIG, {**config, **record.to_json()})
    if options.onnx:
        outputs = {"rollout": about_rollout(student)} if options.rollout else {}
        write_onnx(student, folder / ONNX, options.rollout, {**extra, "input": "grey values in [0, 1]", **outputs})
    card = model_card(source, calibration, options.license, has_timm, options.onnx, options.rollout)
    write_text(folder / CARD, card)


def _crop_mode(trained: TrainedStudent) -> str:
    """Return the crop mode with which timm's own transform is most similar to the preparation of images."""
    return "squash" if trained.preparation is None else _CROP_MODES[trained.preparation.resize]
