"""The licence of the data behind a student: of its training and test, of its teacher's, and of the student that it began from."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from data_modules.files.json_file import read_json
from mmpkd.records import RunFolder, RunState
from mmpkd.records.checkpoint import sha256_of
from mmpkd.records.exported import ExportRecord, is_exported

_STRICTEST_FIRST = ("credentialed", "open", "synthetic")
_LOCAL = "local-dir:"


def license_of_run(folder: RunFolder, state: RunState) -> str:
    """Return the strictest licence of all data behind a run; `credentialed` if it is unknown for any of them.

    Args:
        folder: Folder of the run.
        state: Its state.
    """
    config = folder.settings
    return strictest(
        [
            own_license(config, state),
            teacher_license(folder, state, config),
            _weights_license(config),
            _first_checkpoint_license(config),
        ]
    )


def own_license(config: Mapping[str, Any], state: RunState | None) -> str:
    """Return the strictest licence of a run's training and test data, which can differ.

    It is `credentialed` if that of the training is unknown, whatever the student was tested on.
    """
    made_from = None if state is None else state.made_from
    tested = None if state is None else state.test
    # the class of the data module may be stricter by now than when it was trained on
    trained = strictest([None if made_from is None else made_from.license, training_license(config)])
    return strictest([trained, None if tested is None else tested.license])


def teacher_license(folder: RunFolder, state: RunState, config: Mapping[str, Any]) -> str | None:
    """Return the strictest licence of all data behind the teacher of a run.

    A teacher is looked for where it was, and in the study of the run, which may have been moved. It has to be the same one.

    Returns:
        The licence; `credentialed` if the teacher is not found, or nothing is recorded of its data; None if there is no teacher.
    """
    made_from = state.made_from
    if made_from is None or made_from.teacher is None:
        # some controls make targets without a teacher
        stated = init_args(init_args(config.get("model")).get("teacher")).get("path")
        return None if stated is None else "credentialed"
    given = Path(made_from.teacher)
    # <study>/<arm>/<seed>/checkpoints/best.ckpt
    for path in (given, folder.path.parents[1].joinpath(*given.parts[-4:])):
        if is_exported(path):
            record = ExportRecord.read(path)
            if record.checkpoint_sha256 == made_from.teacher_sha256:
                return record.data_license
            continue
        file = path / "logits.npy" if path.is_dir() else path
        if file.is_file() and sha256_of(file) == made_from.teacher_sha256:
            return _targets_license(path, made_from.splits) if path.is_dir() else _checkpoint_license(path)
    return "credentialed"


def _checkpoint_license(path: Path) -> str:
    folder = RunFolder(path.absolute().parent.parent)
    known = None if folder.state is None else state_about(folder.state, sha256_of(path))
    return "credentialed" if known is None else license_of_run(folder, known)


def _targets_license(path: Path, splits: Mapping[str, str]) -> str | None:
    """Return the licence of stored targets: None if teachers of the run's own training split made them, out of fold."""
    meta = read_json(path / "meta.json")
    is_own = meta.get("num_folds", 0) > 0 and meta.get("split_fingerprint") == splits.get("train")
    return None if is_own else "credentialed"


def _weights_license(config: Mapping[str, Any]) -> str | None:
    """Return the licence of the data behind an export that the training began from, or None if it began from other weights."""
    student = init_args(init_args(config.get("model")).get("student"))
    if not student.get("pretrained"):
        return None
    name = str(student.get("model_name", ""))
    overlay = init_args(init_args(student.get("options")).get("pretrained_cfg_overlay")).get("file")
    if overlay is not None:
        folder = Path(overlay).parent
    elif name.startswith(_LOCAL):
        folder = Path(name.removeprefix(_LOCAL))
    else:
        return None
    if not folder.is_dir():
        return "credentialed"  # it may have been an export
    return ExportRecord.read(folder).data_license if is_exported(folder) else None


def _first_checkpoint_license(config: Mapping[str, Any]) -> str | None:
    """Return the licence of the data behind a checkpoint of another run that the training began from, or None without one."""
    if config.get("ckpt_path") is None:
        return None
    path = Path(config["ckpt_path"])
    if is_exported(path):
        return ExportRecord.read(path).data_license
    return _checkpoint_license(path) if path.is_file() else "credentialed"


def strictest(licenses: list[str | None]) -> str:
    """Return the strictest licence that is known, or `credentialed` if none is."""
    return min(filter(None, licenses), key=_STRICTEST_FIRST.index, default="credentialed")


def state_about(state: RunState, sha256: str) -> RunState | None:
    """Return the state of a run if it describes this checkpoint: `best.ckpt` was tested, `last.ckpt` was not."""
    training = state.training is not None and state.training.checkpoint == sha256
    tested = state.test is not None and state.test.checkpoint == sha256
    if not training and not tested:
        return None
    return state if tested else RunState.from_json({**state.to_json(), "test": None})


def training_license(config: Mapping[str, Any]) -> str | None:
    """Return the licence of the data of a training, or None for a data module of the user's own."""
    kind = data_kind(config)
    if kind is None:
        return None
    stated = config["data"].get("init_args", {}).get("data_license")
    return str(stated or kind.license)


def data_kind(config: Mapping[str, Any]) -> Any:
    """Return the class of our own data module of a training, or None for one of the user's, which is not imported."""
    module, _, name = data_class(config).rpartition(".")
    return getattr(import_module(module), name) if module.split(".")[0] == "data_modules" else None


def data_class(config: Mapping[str, Any]) -> str:
    """Return the import path of the data module of a training, or "" if it is unknown."""
    data = config.get("data")
    return str(data.get("class_path", "")) if isinstance(data, dict) else ""


def init_args(entry: Any) -> Mapping[str, Any]:
    """Return the arguments in an entry of a configuration, whether or not it names its class."""
    if not isinstance(entry, Mapping):
        return {}
    inside = entry.get("init_args", entry)
    return inside if isinstance(inside, Mapping) else {}
