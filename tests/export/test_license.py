"""Whose data a student has seen: its own, its teachers', and those of an export that it began from."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmpkd.callbacks.record import sha256_of_teacher
from mmpkd.export.license import license_of_run
from mmpkd.records import RunFolder, TestRecord, TrainingRecord
from mmpkd.records.checkpoint import sha256_of
from mmpkd.records.exported import ExportRecord
from mmpkd.records.run_state import Lineage

PHANTOMS = "data_modules.phantoms.ChestPhantomDataModule"
PATIENTS = "data_modules.mimic_cxr.MIMICCXRDataModule"
TABLE = "data_modules.table.TableDataModule"


def write_run(
    path: Path,
    data: str,
    teacher: Path | None = None,
    student: dict[str, Any] | None = None,
    license_name: str | None = None,
    **more: Any,
) -> Path:
    """Write the records of a trained run, and return its checkpoint; `more` are further entries of its configuration."""
    folder = RunFolder(path)
    folder.checkpoints.mkdir(parents=True)
    folder.best.write_text(f"weights of {path}")
    model = {"init_args": {"student": student or {}, "teacher": None if teacher is None else {"path": str(teacher)}}}
    options = {"data_license": "open"} if data == TABLE else {}
    config = {"data": {"class_path": data, "init_args": options}, "model": model, **more}
    folder.config.write_text(yaml.safe_dump(config))
    sha256 = None if teacher is None else sha256_of_teacher(teacher)
    folder.update(
        status="trained",
        training=TrainingRecord(1, 1, 1.0, checkpoint=sha256_of(folder.best)),
        made_from=Lineage(
            None,
            "1",
            None if teacher is None else str(teacher),
            sha256,
            {"train": "fingerprint"},
            license=license_name,
        ),
    )
    return folder.best


def license_of(checkpoint: Path) -> str:
    folder = RunFolder(checkpoint.parent.parent)
    assert folder.state is not None
    return license_of_run(folder, folder.state)


def write_export(folder: Path, license_name: str, checkpoint: str = "a") -> Path:
    folder.mkdir(exist_ok=True)
    record = ExportRecord("1", {}, 0.5, 0.25, checkpoint, None, license_name)
    (folder / "config.json").write_text(json.dumps(record.to_json()))
    return folder


@pytest.mark.parametrize(
    ("data", "of_teacher", "expected"),
    [
        (PHANTOMS, None, "synthetic"),
        (PHANTOMS, PHANTOMS, "synthetic"),
        (PHANTOMS, TABLE, "open"),
        (PHANTOMS, PATIENTS, "credentialed"),
        (TABLE, PHANTOMS, "open"),
        (PATIENTS, PHANTOMS, "credentialed"),
        (PHANTOMS, "my_data.Mine", "credentialed"),
    ],
)
def test_the_data_of_the_teacher_count(data: str, of_teacher: str | None, expected: str, tmp_path: Path) -> None:
    teacher = None if of_teacher is None else write_run(tmp_path / "teacher" / "seed0", of_teacher)
    assert license_of(write_run(tmp_path / "distilled" / "seed0", data, teacher)) == expected


def test_the_data_of_the_teachers_teacher_count(tmp_path: Path) -> None:
    first = write_run(tmp_path / "teacher" / "seed0", PATIENTS)
    second = write_run(tmp_path / "distilled" / "seed0", PHANTOMS, first)
    assert license_of(write_run(tmp_path / "again" / "seed0", PHANTOMS, second)) == "credentialed"


def test_a_teacher_is_found_in_a_study_that_was_moved_and_has_to_be_the_same_file(tmp_path: Path) -> None:
    study = tmp_path / "study"
    checkpoint = write_run(study / "distilled" / "seed0", PHANTOMS, write_run(study / "teacher" / "seed0", PHANTOMS))
    moved = shutil.move(study, tmp_path / "moved") / checkpoint.relative_to(study)
    assert license_of(moved) == "synthetic"
    teacher = tmp_path / "moved" / "teacher" / "seed0" / "checkpoints" / "best.ckpt"
    teacher.write_text("weights of another training")
    assert license_of(moved) == "credentialed"
    teacher.unlink()
    assert license_of(moved) == "credentialed"


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"num_folds": 5, "split_fingerprint": "fingerprint"}, "synthetic"),  # made from this training split alone
        ({"num_folds": 5, "split_fingerprint": "other"}, "credentialed"),
        ({"num_folds": 0, "split_fingerprint": "fingerprint"}, "credentialed"),
        ({"label_names": ["a"]}, "credentialed"),  # an outside model
    ],
)
def test_stored_targets_count_as_credentialed_unless_they_are_of_the_same_training_data(
    meta: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    targets = tmp_path / "targets"
    targets.mkdir()
    (targets / "logits.npy").write_bytes(b"logits")
    (targets / "meta.json").write_text(json.dumps(meta))
    assert license_of(write_run(tmp_path / "distilled" / "seed0", PHANTOMS, targets)) == expected


@pytest.mark.parametrize("license_name", ["credentialed", "open", "synthetic"])
def test_an_export_keeps_its_licence_as_teacher_and_as_first_weights(license_name: str, tmp_path: Path) -> None:
    export = write_export(tmp_path / "export", license_name)
    assert license_of(write_run(tmp_path / "taught" / "seed0", PHANTOMS, export)) == license_name
    student = {"model_name": f"local-dir:{export}", "pretrained": True}
    assert license_of(write_run(tmp_path / "tuned" / "seed0", PHANTOMS, student=student)) == license_name
    assert (
        license_of(write_run(tmp_path / "shape" / "seed0", PHANTOMS, student={**student, "pretrained": False}))
        == "synthetic"
    )


def test_an_export_that_was_replaced_by_another_is_not_the_teacher(tmp_path: Path) -> None:
    checkpoint = write_run(tmp_path / "taught" / "seed0", PHANTOMS, write_export(tmp_path / "export", "credentialed"))
    write_export(tmp_path / "export", "synthetic", checkpoint="b")
    assert license_of(checkpoint) == "credentialed"


@pytest.mark.parametrize(
    ("recorded", "tested", "expected"),
    [
        (None, "synthetic", "credentialed"),  # an older record: the data of a test need not be those of the training
        ("synthetic", "synthetic", "synthetic"),
        ("synthetic", "open", "open"),
        ("open", "synthetic", "open"),
        ("credentialed", "synthetic", "credentialed"),
    ],
)
def test_the_data_of_a_test_do_not_stand_for_those_of_the_training(
    recorded: str | None, tested: str, expected: str, tmp_path: Path
) -> None:
    checkpoint = write_run(tmp_path / "student" / "seed0", "my_data.Mine", license_name=recorded)
    test = TestRecord(sha256_of(checkpoint), {}, {}, tested, ("a",), None, "1")
    RunFolder(tmp_path / "student" / "seed0").update(status="tested", test=test)
    assert license_of(checkpoint) == expected


def test_a_control_without_a_teacher_has_no_data_of_one(tmp_path: Path) -> None:
    control = {"teacher": {"path": None, "control": {"class_path": "mmpkd.teachers.LabelOracle"}}}
    checkpoint = write_run(tmp_path / "oracle" / "seed0", PHANTOMS, model={"init_args": control})
    assert license_of(checkpoint) == "synthetic"


def test_weights_of_a_student_that_the_training_began_from_count_however_they_were_given(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export", "open")
    file = {"pretrained_cfg_overlay": {"file": str(export / "model.safetensors")}}
    weights = {"model_name": "vit_tiny_patch16_224", "pretrained": True, "options": file}
    assert license_of(write_run(tmp_path / "file" / "seed0", PHANTOMS, student=weights)) == "open"
    student = {"model_name": f"local-dir:{export}", "pretrained": True}
    checkpoint = write_run(tmp_path / "tuned" / "seed0", PHANTOMS, student=student)
    (export / "config.json").write_text("{}")  # weights of others, which their own licence is about
    assert license_of(checkpoint) == "synthetic"
    shutil.rmtree(export)
    assert license_of(checkpoint) == "credentialed"
    first = write_run(tmp_path / "first" / "seed0", PATIENTS)
    resumed = write_run(tmp_path / "resumed" / "seed0", PHANTOMS, ckpt_path=str(first))
    assert license_of(resumed) == "credentialed"
    again = write_run(tmp_path / "again" / "seed0", PHANTOMS, ckpt_path=str(write_run(tmp_path / "own" / "s", TABLE)))
    assert license_of(again) == "open"
