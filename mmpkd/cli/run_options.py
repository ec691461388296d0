"""Options of a run: its folder and how it is tracked."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class RunOptions:
    """The folder of a run and how it is tracked.

    Attributes:
        dir: Folder of the run, with configuration, checkpoints, metrics, tables, maps and W&B files.
        group: Study that the run belongs to (W&B group).
        job_type: Role of the run in the study (W&B job type).
        tags: W&B tags.
        project: W&B project.
        wandb: `auto` is online for users who are logged in to W&B and offline for others; `offline` needs no account or network;
            `online` needs an account; `disabled` writes nothing. The default can be set in WANDB_MODE, and the defaults of
            project, group, job_type and tags in WANDB_PROJECT, WANDB_RUN_GROUP, WANDB_JOB_TYPE and WANDB_TAGS.
        media: Whether images are logged to W&B: `auto`, unless the data are credentialed and W&B runs the server; `local`,
            never; `upload`, always.
        system_metrics: Whether W&B records memory and utilisation of the GPU and the machine.
        hash_ids: Replace identifiers of samples and patients by keyed hashes in everything that the run writes. The key is read
            from the environment variable MMPKD_ID_KEY. Runs that share targets or are compared need the same key.
        monitor: Validation score that `checkpoints/best.ckpt` is chosen by; higher is better. Never a localization score.
        reference: Folder of a finished run of an image-only student, to compare the teacher with on the teacher card.
        save_every_n_minutes: Minutes between saves of `checkpoints/last.ckpt` within an epoch, from which a killed run resumes.
            It is also saved after every epoch.
        save_every_n_steps: Optimizer steps between these saves, instead of minutes.
        figures: Whether maps are drawn and their faithfulness is scored; if not, `AttributionMapLogger` and
            `FaithfulnessMonitor` are left out. A study sets it to false for all seeds but the first.
        study: Fingerprint of the run in a study, set by the study.
        num_folds: Number of folds of the training patients, one of which is held out of training; 0 trains on all patients.
        held_out_fold: Index of the fold that is held out, from 0.

    Raises:
        ValueError: If `dir` is empty, or there is no such fold.
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
        # a single fold would hold out every patient
        if self.num_folds < 0 or self.num_folds == 1:
            raise ValueError(f"Expected run.num_folds to be 0, or 2 or more, but got {self.num_folds}.")
        if self.num_folds and not 0 <= self.held_out_fold < self.num_folds:
            raise ValueError(f"Expected run.held_out_fold in [0, {self.num_folds - 1}] but got {self.held_out_fold}.")
