"""The state of a run in its folder: its lineage, its progress, and how it ended."""

import logging
import math
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from data_modules.base import PrivilegedDataModule
from mmpkd.callbacks.checkpoints.best_checkpoint import best_checkpoint
from mmpkd.callbacks.tables import run_folder, tested_checkpoint
from mmpkd.modules import DistillationModule, TeacherModule
from mmpkd.numerics.hardware import hardware
from mmpkd.records import Lineage, RunState, StudyRecord, TestRecord, TrainingRecord
from mmpkd.records.checkpoint import sha256_of
from mmpkd.records.code_hash import code_hash
from mmpkd.records.exported import ExportRecord, is_exported
from mmpkd.tracking.lineage import log_teacher, use_teacher

logger = logging.getLogger("mmpkd")


class RunRecord(Callback):
    """Writes `run.json` when a fit starts, and when a fit or test ends or fails.

    Its state in a checkpoint is the code that made the weights, which may have changed between a kill and a resume.

    Args:
        seed: Seed of the run.
        job_type: Role of the run in its study, such as teacher, baseline or distilled.
        study: Fingerprint of the run in the study that runs it, or None outside a study.
    """

    def __init__(self, seed: int, job_type: str | None, study: str | None = None) -> None:
        self.seed = seed
        self.job_type = job_type
        self.study = study
        self.earlier_code: tuple[str, ...] = ()
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the hashes of the code that has made the training so far, oldest first."""
        return {"code": [*self.earlier_code, code_hash()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the code that made the training before it was resumed."""
        *earlier, last = state_dict["code"]
        self.earlier_code = tuple(earlier if last == code_hash() else state_dict["code"])

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the lineage of the run, and clear results of an earlier training in the same folder."""
        self._start = time.monotonic()
        made_from = lineage(trainer, pl_module)
        self._update(
            trainer,
            status="training",
            seed=self.seed,
            job_type=self.job_type,
            made_from=made_from,
            study=self._own_study(trainer),
            training=None,
            test=None,
        )
        if made_from.teacher_sha256 is not None:
            use_teacher(trainer.loggers, made_from.teacher_sha256)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record that training is complete."""
        folder = run_folder(trainer)
        sha256 = sha256_of(folder.best) if folder.best.is_file() else None
        training = self._training(trainer, sha256)
        made_from = self._update(trainer, status="trained", training=training).made_from
        if sha256 is not None:
            score = "" if training.best_score is None else f" ({training.monitor} {training.best_score:.4f})"
            logger.info("trained: %s%s", folder.best, score)
        if isinstance(pl_module, TeacherModule) and sha256 is not None and made_from is not None:
            log_teacher(trainer.loggers, sha256, asdict(made_from))

    def _training(self, trainer: Trainer, sha256: str | None) -> TrainingRecord:
        callback = best_checkpoint(trainer)
        best = getattr(callback, "best_model_score", None)
        return TrainingRecord(
            epochs=trainer.current_epoch,
            steps=trainer.global_step,
            seconds=round(time.monotonic() - self._start, 1),
            monitor=getattr(callback, "monitor", None),
            # Lightning keeps an undefined score as -infinity
            best_score=float(best) if best is not None and math.isfinite(best) else None,
            checkpoint=sha256,
        )

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the scores of the test split."""
        del pl_module
        datamodule: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        test = TestRecord(
            checkpoint=tested_checkpoint(trainer),
            metrics={name: float(value) for name, value in trainer.callback_metrics.items()},
            data=datamodule.data_report(),
            license=datamodule.license,
            label_names=datamodule.label_names,
            git_commit=git_commit(),
            version=version("mmpkd"),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            hardware=hardware(trainer.strategy.root_device),
            code=code_hash(),
        )
        state = run_folder(trainer).state
        if state is None or state.study is None or self._own_study(trainer) is not None:
            self._update(trainer, status="tested", test=test)
        else:  # a manual test does not finish the run for its study, which still tests it itself
            self._update(trainer, status="trained" if state.training is not None else state.status, test=test)

    def _own_study(self, trainer: Trainer) -> StudyRecord | None:
        """Return the study's record of the run if the study has started this process, and None if the user has."""
        state = run_folder(trainer).state
        known = None if state is None else state.study
        return known if known is not None and known.fingerprint == self.study else None

    @rank_zero_only
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Record why the run failed. A stopped run has not failed, and a study records the failures of its own runs."""
        del pl_module
        if not isinstance(exception, Exception) or isinstance(exception, SIGTERMException):
            return
        with suppress(OSError):  # if the disk is full, the exception itself says so
            if self._own_study(trainer) is None:
                self._update(trainer, status="failed", reason=f"{type(exception).__name__}: {exception}")

    def _update(self, trainer: Trainer, **changes: Any) -> RunState:
        folder = run_folder(trainer)
        if folder.state is None:  # a test of a student that was trained in another folder
            changes = {"seed": self.seed, "job_type": self.job_type, **changes}
        return folder.update(**{"reason": None, **changes})


def lineage(trainer: Trainer, pl_module: LightningModule) -> Lineage:
    """Return the lineage of a run: commit, version, and hashes of its teacher and its splits."""
    datamodule: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
    source = pl_module.teacher_source if isinstance(pl_module, DistillationModule) else None
    teacher = None if source is None else source.path
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    records = [own for own in callbacks if isinstance(own, RunRecord)]
    return Lineage(
        git_commit=git_commit(),
        version=version("mmpkd"),
        teacher=teacher,
        teacher_sha256=None if teacher is None else sha256_of_teacher(Path(teacher)),
        splits={name: split.fingerprint() for name, split in datamodule.splits.items()},
        code=code_hash(),
        license=datamodule.license,
        earlier_code=records[0].earlier_code if records else (),
    )


def sha256_of_teacher(path: Path) -> str | None:
    """Return the SHA-256 of a checkpoint (of an export: the one it was made from), or of the logits in a folder of targets."""
    if is_exported(path):
        return ExportRecord.read(path).checkpoint_sha256
    path = path / "logits.npy" if path.is_dir() else path
    return sha256_of(path) if path.is_file() else None


def git_commit() -> str | None:
    """Return the commit of the package's checkout, or None if it is installed."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    # no git, or a disk that does not answer in time: no reason to lose a run
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
