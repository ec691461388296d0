"""One run of a study, what its folder says of it, and whether it was made with the settings that the study has now."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from mmpkd.cli.yaml_file import BASE, read_settings, with_bases
from mmpkd.records import RunFolder
from mmpkd.study.plan.study_plan import Arm, StudyError


@dataclass(frozen=True)
class Run:
    """One training of one arm with its test, or the test of a trained student on another data set.

    Attributes:
        arm: The arm.
        seed: Its seed.
        folder: Where everything of the run lies.
        flags: Arguments of the Lightning command line, without the sub-command.
        teacher: Folder of the run that it is distilled from, or None.
        test_set: Name of the other data set; "" for a training.
        trained: Folder of the run whose student is tested on it, or None for a training.
        reference: Folder of the run that the teacher card compares with, or None.
    """

    arm: Arm
    seed: int
    folder: Path
    flags: tuple[str, ...]
    teacher: Path | None
    test_set: str = ""
    trained: Path | None = None
    reference: Path | None = None

    @property
    def name(self) -> str:
        """Arm, seed and other data set, for messages."""
        return f"{self.arm.name} (seed {self.seed}){f' on {self.test_set}' if self.test_set else ''}"

    @property
    def record(self) -> RunFolder:
        """Its files."""
        return RunFolder(self.folder)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that is tested."""
        return RunFolder(self.trained or self.folder).best


def is_finished(run: Run) -> bool:
    """Return whether a study trained a run, and tested what it was trained to."""
    state, trained = run.record.state, RunFolder(run.trained or run.folder).state
    if state is None or state.study is None or state.status != "tested":
        return False
    if trained is None or trained.training is None:
        return False
    return state.test is None or state.test.checkpoint == trained.training.checkpoint


def seconds_taken(run: Run) -> float | None:
    """Return how long a finished run took, in its last start."""
    state = run.record.state
    return None if state is None or state.study is None else state.study.seconds


def check_unchanged(run: Run) -> None:
    """Check that a finished or interrupted run was made with the settings that the study has now.

    Raises:
        StudyError: If flags, configuration files or the teacher differ, or the study did not make the run.
    """
    state = run.record.state
    advice = "Delete or move the folder to train again, or give --out another one."
    if state is None or state.study is None:
        if any(run.record.checkpoints.glob("*.ckpt")):
            raise StudyError(
                f"Expected {run.folder} to be empty or made by a study but it holds checkpoints of a run with unknown "
                f"settings. {advice}"
            )
    elif state.study.fingerprint != run_fingerprint(run):
        kind = "finished" if state.status == "tested" else "interrupted"
        raise StudyError(
            f"Expected the {kind} run in {run.folder} to have the settings of the study but they changed since: "
            f"flags, configuration files, or the teacher. {advice}"
        )


def run_fingerprint(run: Run) -> str:
    """Return a hash of everything that decides how a run turns out: flags, configuration, teacher.

    Paths of the study itself are left out, and comments, so that neither another way to write `--out` nor a remark in a YAML
    file makes finished runs worthless. The teacher counts by what it was trained with.
    """
    flags = [part for flag in run.flags for part in (flag.split("=", 1) if flag.startswith("--config=") else [flag])]
    configs: list[Path] = []
    for name in ("--config", "--data", "--run.dir", "--run.reference", "--model.teacher"):
        while name in flags:
            position = flags.index(name)
            configs += [Path(flags[position + 1])] if name in ("--config", "--data") else []
            del flags[position : position + 2]
    digest = hashlib.sha256(json.dumps(flags).encode())
    for path in [path for config in configs for path in configuration_files(config)]:
        digest.update(json.dumps(yaml.safe_load(path.read_text()), sort_keys=True, default=str).encode())
    for made_from in (run.teacher, run.trained):
        state = None if made_from is None else RunFolder(made_from).state
        if state is not None and state.status == "tested" and state.study is not None:
            digest.update(state.study.fingerprint.encode())
    return digest.hexdigest()


def configuration_files(config: Path) -> list[Path]:
    """Return a configuration file, those that it adds to, and those that they name."""
    files = with_bases(config)
    return [*files, *(named for file in files for named in _named_files(file))]


def _named_files(config: Path) -> list[Path]:
    settings = read_settings(config)
    named = [settings[key] for key in settings if key != BASE]
    return [config.parent / name for name in named if isinstance(name, str) and name.endswith((".yaml", ".yml"))]
