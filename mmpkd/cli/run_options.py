"""Where a run lives and how it is tracked."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class RunOptions:
    """Where a run lives and how it is tracked.

    Attributes:
        dir: Folder of the run: configuration, checkpoints, metrics, tables, maps and the W&B files.
        group: Study that the run belongs to (W&B group).
        job_type: Role of the run in the study (W&B job type).
        tags: W&B tags.
        project: W&B project.
        wandb: `auto` is online for those who are logged in to W&B and offline for others; `offline` needs no account or network;
            `online` needs an account; `disabled` writes nothing. WANDB_MODE sets the default, and WANDB_PROJECT,
            WANDB_RUN_GROUP, WANDB_JOB_TYPE and WANDB_TAGS those of project, group, job_type and tags.
        media: Whether images go to W&B: `auto`, not if the data are credentialed and the server is a third party's; `local`,
            never; `upload`, always.
        system_metrics: Whether W&B records memory and utilisation of the GPU and the machine.
        hash_ids: Replace identifiers of samples and patients by keyed hashes in everything that the run writes. The key is the
            environment variable MMPKD_ID_KEY; all runs that share targets or are compared need the same one.
        monitor: Validation score, higher is better, that `checkpoints/best.ckpt` is chosen by. Never a localization score.
        reference: Folder of an image-only student's finished run that the teacher card compares a teacher with.
        save_every_n_minutes: Minutes between saves of `checkpoints/last.ckpt` inside an epoch, from which a killed run goes on.
            It is saved after every epoch, too.
        save_every_n_steps: Optimizer steps between these saves, instead of minutes.
        figures: Whether maps are drawn and their faithfulness is scored; if not, `AttributionMapLogger` and
            `FaithfulnessMonitor` are left out. A study sets it to false for all seeds but the first.
        study: Fingerprint of the run in a study; the study sets it.
        num_folds: Folds of training patients, of which one is left out of the training; 0 trains on all of them.
        held_out_fold: Which one, from 0.

    Raises:
        ValueError: If there is no folder, or no such fold.
    """

    dir: str = "runs/default"
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    project: str = "mmpkd"
    wandb: Literal["auto", "offline", "online", "disabled"] = "auto"
    media: Literal["auto", "local", "upload"] = "auto"
    system_metrics: bool = False
    hash_ids: bool = False
    monitor: str = "val/auroc_macro"
    reference: str | None = None
    save_every_n_minutes: float = 10
    save_every_n_steps: int | None = None
    figures: bool = True
    study: str | None = None
    num_folds: int = 0
    held_out_fold: int = 0

    def __post_init__(self) -> None:
        if not self.dir.strip():
            raise ValueError("Expected a folder in run.dir but it is empty. Set --run.dir, for example to runs/first.")
        if self.num_folds < 0 or self.num_folds == 1:
            raise ValueError(f"Expected run.num_folds to be 0, or 2 or more, but got {self.num_folds}.")
        if self.num_folds and not 0 <= self.held_out_fold < self.num_folds:
            raise ValueError(f"Expected run.held_out_fold in [0, {self.num_folds - 1}] but got {self.held_out_fold}.")
