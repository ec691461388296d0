"""Fingerprints of settings, which tell whether a run was made with the current settings of its study."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from data_modules.files.yaml_file import read_yaml
from mmpkd.cli.yaml_file import BASE, read_settings, with_bases
from mmpkd.records import RunFolder
from mmpkd.study.execution.command import flags_of, identity_flags
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.errors import StudyError

_ADVICE = "Delete or move the folder to train again, or choose another --out."


def check_unchanged(run: Run) -> None:
    """Check that a finished or interrupted run was made with the current settings of the study.

    Raises:
        StudyError: If flags, configuration files or the teacher differ, or if no study made the run.
    """
    state = run.record.state
    if state is None or state.study is None:
        if any(run.record.checkpoints.glob("*.ckpt")):
            raise StudyError(
                f"Expected {run.folder} to be empty or made by a study but it holds checkpoints of a run with unknown "
                f"settings. {_ADVICE}"
            )
    elif state.study.fingerprint != run_fingerprint(run):
        kind = "finished" if state.status == "tested" else "interrupted"
        raise StudyError(
            f"Expected the {kind} run in {run.folder} to have the settings of the study but they changed since: "
            f"flags, configuration files, or the teacher. {_changed_flags(state.study.flags, flags_of(run))}{_ADVICE}"
        )


def _changed_flags(before: Sequence[str], now: Sequence[str]) -> str:
    """Return a sentence about overrides that are no longer given, or new; empty if nothing is known or different."""
    gone = [word for word in before if word.startswith("--") and "=" in word and word not in now]
    new = [word for word in now if word.startswith("--") and "=" in word and word not in before]
    parts = [f"{how} {' '.join(words)}" for how, words in (("with", gone), ("without", new)) if words]
    return (
        f"It was made {' and '.join(parts)}: repeat the command with the same flags after `--`. "
        if before and parts
        else ""
    )


def run_fingerprint(run: Run) -> str:
    """Return a hash of everything that determines the result of a run: flags, configuration and teacher.

    Comments and paths of the study are ignored, so that neither another spelling of `--out` nor a new comment in a YAML file
    invalidates finished runs. Files are hashed by content, and the teacher by the settings of its training.
    """
    digest = hashlib.sha256(json.dumps(_flags_that_count(run)).encode())
    for named in _files(run):
        for path in configuration_files(named):
            # parsed, so that comments and layout do not count; `str` turns dates of YAML into text
            digest.update(json.dumps(read_yaml(path), sort_keys=True, default=str).encode())
    # a run starts only after these are tested, so they are part of every recorded fingerprint
    for made_from in (run.teacher, run.trained):
        state = None if made_from is None else RunFolder(made_from).state
        if state is not None and state.status == "tested" and state.study is not None:
            digest.update(state.study.fingerprint.encode())
    return digest.hexdigest()


def _flags_that_count(run: Run) -> list[str]:
    flags: list[str] = []
    for flag in run.overrides:
        if flag.config is None and flag.data is None:
            flags += flag.words
        elif flags:
            # a file counts by its content, not by its path, and it overrides the flags before it
            flags.append(f"--{flag.name}")
    words = [*identity_flags(run), *flags]
    if run.external is not None:
        words += run.external.overrides
    return words


def _files(run: Run) -> list[Path]:
    """Return the configuration files of a run in their order, in which later ones override earlier ones."""
    named = [flag.config or flag.data for flag in run.overrides]
    external = [] if run.external is None else [run.external.data]
    return [*run.arm.config, *(path for path in named if path is not None), *external]


def configuration_files(config: Path) -> list[Path]:
    """Return a configuration file, the files that it extends, and the files that these name."""
    files = with_bases(config)
    return [*files, *(named for file in files for named in _named_files(file))]


def _named_files(config: Path) -> list[Path]:
    settings = read_settings(config)
    # a setting can be the path of a file, such as `data: ../data/mimic_cxr.yaml`
    named = [settings[key] for key in settings if key != BASE]
    return [config.parent / name for name in named if isinstance(name, str) and name.endswith((".yaml", ".yml"))]
