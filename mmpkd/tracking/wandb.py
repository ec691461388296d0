"""Weights & Biases in the run's own folder: online for those who are logged in, offline for all others."""

import logging
import os
import sys
import uuid
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger

from mmpkd.records import RunFolder
from mmpkd.tracking.account import is_logged_in
from mmpkd.tracking.media import Media

SECONDS_TO_CONNECT = 15
logger = logging.getLogger("mmpkd")
Mode = Literal["auto", "offline", "online", "disabled"]
# what the table of runs shows of a key with several values; of all other keys it is the last one. The best value of a
# localization score would be a choice by the very thing that is measured.
_BEST = {
    "max": ("val/auroc*", "val/auprc*", "val/f1*"),
    "min": ("val/ece*", "train/loss", "train/task", "train/distillation"),
}


class RunFolderWandbLogger(WandbLogger):
    """WandbLogger with summaries by key, and without the `anonymous` setting, about which wandb prints a line in every run.

    Args:
        folder: Folder of the run.
        media: Whether images may be handed to W&B, see `may_log_media`.
        may_fall_back: Whether the run goes on offline if the server cannot be reached.
        init: Further arguments of `WandbLogger`.
    """

    def __init__(self, folder: Path, media: Media = "auto", may_fall_back: bool = False, **init: Any) -> None:
        super().__init__(save_dir=folder, **init)
        self.media: Media = media
        self._may_fall_back = may_fall_back
        self._wandb_init.pop("anonymous", None)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of wandb, started at first use."""
        if self._experiment is None:
            before = os.environ.get("WANDB_MODE")
            try:
                self._start()
            finally:
                # Lightning sets it for this process, whose next run may be another one
                os.environ.pop("WANDB_MODE", None)
                if before is not None:
                    os.environ["WANDB_MODE"] = before
        return self._experiment

    def _start(self) -> None:
        import wandb

        try:
            run = super().experiment
        except wandb.errors.Error as error:
            if not self._may_fall_back:
                raise
            logger.warning("W&B cannot be reached (%s). The run goes on offline; `wandb sync` uploads it later.", error)
            wandb.teardown()  # its service still holds the identifier of the run
            self._offline = True
            self._wandb_init["mode"] = "offline"
            run = super().experiment
        if hasattr(run, "define_metric"):
            for summary, keys in _BEST.items():
                for key in keys:
                    run.define_metric(key, step_metric="trainer/global_step", summary=summary)


def wandb_logger(
    folder: Path,
    mode: Mode,
    project: str,
    name: str,
    group: str | None,
    job_type: str | None,
    tags: list[str],
    media: Media = "auto",
) -> RunFolderWandbLogger | None:
    """Return a logger that never prompts, never waits for a network when offline, and leaves the home folder alone.

    Host name, paths, console output, code and installed packages are not recorded: a console may show patient data.

    Args:
        folder: Folder of the run; everything of wandb goes to `folder/wandb`.
        mode: `auto` is online for those who are logged in, and offline for others; `offline` needs no account; `online`
            needs one; `disabled` gives None.
        project: W&B project.
        name: Name of the run.
        group: Study that the run belongs to.
        job_type: Role in the study: teacher, baseline, distilled, ...
        tags: Tags.
        media: Whether images may be handed to W&B: `auto`, `local` or `upload`.
    """
    if mode == "disabled":
        return None
    is_offline = mode == "offline" or (mode == "auto" and not is_logged_in())
    for variable in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
        os.environ[variable] = str(folder.resolve() if variable == "WANDB_DIR" else folder.resolve() / "wandb" / "home")
    if is_offline:
        # online, the user's own settings say which server
        os.environ["WANDB_CONFIG_DIR"] = str(folder.resolve() / "wandb" / "home")
    os.environ["WANDB_SILENT"] = "true"
    import wandb

    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(
        console="off",
        disable_git=True,
        disable_code=True,
        host="anonymous",
        program="mmpkd",
        init_timeout=SECONDS_TO_CONNECT,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
        quiet=True,
        silent=True,
    )
    return RunFolderWandbLogger(
        folder,
        media,
        may_fall_back=mode == "auto",
        offline=is_offline,
        mode="offline" if is_offline else "online",
        project=project,
        name=name,
        group=group,
        job_type=job_type,
        tags=tags,
        id=_run_id(folder),
        resume="allow",
        settings=settings,
    )


def finish_wandb(exit_code: int) -> None:
    """Close the current run, if there is one; the next run in this process would go on in it otherwise."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code=exit_code)


def sweep_folder(folder: Path) -> Path:
    """Return the folder of a run: its own one below the given one if it is a trial of a W&B sweep."""
    sweep, run = os.environ.get("WANDB_SWEEP_ID"), os.environ.get("WANDB_RUN_ID")
    return folder / sweep / run if sweep and run else folder


def _run_id(folder: Path) -> str:
    """Return the identifier that a run keeps when it is resumed or tested; the agent of a sweep gives its own."""
    path = RunFolder(folder).wandb_id
    if not path.is_file():
        given = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
        path.write_text((given or uuid.uuid4().hex[:12]) + "\n")
    return path.read_text().strip()
