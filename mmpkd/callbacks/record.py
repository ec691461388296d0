"""What a run was and how it ended, in files of its own folder."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

import mmpkd
from data_modules.base import PrivilegedDataModule
from data_modules.json_file import write_json
from mmpkd.callbacks.best_score import best_checkpoint
from mmpkd.modules import TeacherModule
from mmpkd.teachers.teacher import sha256_of
from mmpkd.tracking.lineage import log_teacher, use_teacher


class RunRecord(Callback):
    """Writes `lineage.json` when a fit starts and `summary.json` when fit and test end.

    Args:
        seed: Seed of the run.
        job_type: Role of the run in its study, for example teacher, baseline or distilled.
    """

    def __init__(self, seed: int, job_type: str | None) -> None:
        self.seed, self.job_type = seed, job_type
        self._start = 0.0

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record what the run is made from."""
        self._start = time.monotonic()
        made_from = lineage(trainer, pl_module)
        write_json(Path(trainer.default_root_dir) / "lineage.json", made_from)
        if made_from["teacher_sha256"] is not None:
            use_teacher(trainer.loggers, made_from["teacher_sha256"])

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record that training is complete."""
        checkpoint = best_checkpoint(trainer)
        best = getattr(checkpoint, "best_model_score", None)
        entry = {
            "status": "fitted",
            "seed": self.seed,
            "job_type": self.job_type,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "fit_seconds": round(time.monotonic() - self._start, 1),
            "best_score": None if best is None else float(best),
            "monitor": getattr(checkpoint, "monitor", None),
        }
        write_json(Path(trainer.default_root_dir) / "summary.json", entry)
        best_path = Path(getattr(checkpoint, "best_model_path", "") or "none")
        if isinstance(pl_module, TeacherModule) and best_path.is_file():
            log_teacher(trainer.loggers, sha256_of(best_path), lineage(trainer, pl_module))

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the scores of the test split."""
        del pl_module
        path = Path(trainer.default_root_dir) / "summary.json"
        entry = json.loads(path.read_text()) if path.is_file() else {"seed": self.seed, "job_type": self.job_type}
        datamodule: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        entry |= {
            "status": "finished",
            "metrics": {name: float(value) for name, value in trainer.callback_metrics.items()},
            "data": datamodule.data_report(),
            "license": datamodule.license,
            "label_names": list(datamodule.label_names),
            "git_commit": git_commit(),
            "version": mmpkd.__version__,
        }
        write_json(path, entry)


def lineage(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """Return hashes of everything that a run is made from."""
    datamodule: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
    teacher = getattr(pl_module, "teacher_path", None)
    return {
        "git_commit": git_commit(),
        "version": mmpkd.__version__,
        "teacher": teacher,
        "teacher_sha256": None if teacher is None else _sha256_of_teacher(Path(teacher)),
        "splits": {name: split.fingerprint() for name, split in datamodule.splits.items()},
    }


def _sha256_of_teacher(path: Path) -> str | None:
    """Return the hash of a checkpoint, or of the logits in a folder of targets."""
    path = path / "logits.npy" if path.is_dir() else path
    return sha256_of(path) if path.is_file() else None


def git_commit() -> str | None:
    """Return the commit of the package's checkout, or None outside one."""
    command = ["git", "-C", str(Path(mmpkd.__file__).parent), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None
