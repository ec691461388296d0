"""Writing the teacher card of a run before a student is distilled."""

import logging
import sys
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from data_modules.base import PrivilegedDataModule
from data_modules.files.json_file import write_json
from mmpkd.callbacks.tables import run_folder
from mmpkd.modules import DistillationModule
from mmpkd.teachers.card import show, student_auroc, targets_card, teacher_card
from mmpkd.teachers.target_files import load_targets
from mmpkd.teachers.teacher import load_teacher

logger = logging.getLogger("mmpkd")


class TeacherCardWriter(Callback):
    """Prints the teacher card and writes `teacher_card.json` into the run folder before a student is distilled.

    Stored targets are scored on their training samples. A teacher on images has no card.

    Args:
        reference: Folder of a finished run of an image-only student to compare the teacher with, or None.
    """

    def __init__(self, reference: str | None = None) -> None:
        self.reference = None if reference is None else Path(reference)

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, save and print the card."""
        source = pl_module.teacher_source if isinstance(pl_module, DistillationModule) else None
        # the card is about privileged input, which a teacher on images does not read
        if source is None or source.path is None or source.targets == "image":
            return
        data: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        path = Path(source.path)
        if path.is_dir():
            card = targets_card(load_targets(path).align(data.splits["train"]), data)
        else:
            student = None if self.reference is None else self._student_auroc(self.reference)
            teacher = load_teacher(path, source.trust_remote_code)
            card = teacher_card(teacher, data, trainer.strategy.root_device, student)
        write_json(run_folder(trainer).teacher_card, card.to_json())
        show(card, Console(file=sys.stdout))

    def _student_auroc(self, reference: Path) -> float | None:
        try:
            return student_auroc(reference)
        except (FileNotFoundError, ValueError) as error:
            logger.warning("The teacher card has no AUROC of a student: %s", error)
            return None
