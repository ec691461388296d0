"""Weights & Biases in the run's own folder: online for those who are logged in, offline for all others."""

import logging
import os
import sys
import uuid
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from mmpkd.records import RunFolder
from mmpkd.tracking.account import is_logged_in
from mmpkd.tracking.best_values import BestValues
from mmpkd.tracking.environment import keep_in
from mmpkd.tracking.hidden_paths import hide_paths
from mmpkd.tracking.media import Media

SECONDS_TO_CONNECT = 15
logger = logging.getLogger("mmpkd")
Mode = Literal["auto", "offline", "online", "disabled"]


class RunFolderWandbLogger(WandbLogger):
    """WandbLogger that summarises a score by its best value and hides paths.

    It goes without the `anonymous` setting, about which wandb prints a line in every run.

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
        self._best = BestValues(RunFolder(folder).metrics)
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
            _ = super().experiment
        except wandb.errors.Error as error:
            if not self._may_fall_back:
                raise
            logger.warning("W&B cannot be reached (%s). The run goes on offline; `wandb sync` uploads it later.", error)
            wandb.teardown()  # its service still holds the identifier of the run
            self._offline = True
            self._wandb_init["mode"] = "offline"
            _ = super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log values, and the best ones so far as their summary.

        wandb takes the last value, so the best one is set after each that is logged.
        """
        best = self._best.update(metrics)
        super().log_metrics(metrics, step)
        if best:
            self.experiment.summary.update(best)

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace) -> None:
        """Log a configuration without the paths of this machine."""
        super().log_hyperparams(hide_paths(vars(params) if isinstance(params, Namespace) else params))


def wandb_logger(
    folder: Path,
    mode: Mode,
    project: str,
    name: str,
    group: str | None,
    job_type: str | None,
    tags: list[str],
    media: Media = "auto",
    system_metrics: bool = False,
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
        system_metrics: Whether memory and utilisation of GPU and CPU are recorded.
    """
    if mode == "disabled":
        return None
    is_offline = mode == "offline" or (mode == "auto" and not is_logged_in())
    _set_environment(folder, is_offline)
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
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
        settings=_settings(system_metrics),
    )


def _set_environment(folder: Path, is_offline: bool) -> None:
    """Set the variables that wandb reads when it is imported and when it starts."""
    keep_in(folder)
    if is_offline:
        # online, the user's own settings say which server
        os.environ["WANDB_CONFIG_DIR"] = str(folder.resolve() / "wandb" / "home")
    os.environ["WANDB_SILENT"] = "true"
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # a report of an error in wandb holds paths


def _settings(system_metrics: bool) -> Any:
    import wandb

    return wandb.Settings(
        console="off",
        disable_git=True,
        disable_code=True,
        host="anonymous",
        program="mmpkd",
        init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT") or SECONDS_TO_CONNECT),
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_machine_info=not system_metrics,
        x_disable_stats=not system_metrics,
        x_save_requirements=False,
        quiet=True,
        silent=True,
    )


def finish_wandb(exit_code: int) -> None:
    """Close the current run, if there is one; the next run in this process would go on in it otherwise."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code=exit_code)


def sweep_folder(folder: Path) -> Path:
    """Return the folder of a run: its own one below the given one if it is a trial of a W&B sweep."""
    sweep = os.environ.get("WANDB_SWEEP_ID")
    run = os.environ.get("WANDB_RUN_ID")
    return folder / sweep / run if sweep and run else folder


def _run_id(folder: Path) -> str:
    """Return the identifier that a run keeps when it is resumed or tested; the agent of a sweep gives its own."""
    path = RunFolder(folder).wandb_id
    if not path.is_file():
        given = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
        path.write_text((given or uuid.uuid4().hex[:12]) + "\n")
    return path.read_text().strip()
