"""Weights & Biases logging into the run's folder, online for users who are logged in and offline for all others."""

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

from data_modules.files.atomic import write_text
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
    """WandbLogger that summarises scores by their best values and hides paths.

    Args:
        folder: Folder of the run.
        media: Whether images may be logged to W&B, see `may_log_media`.
        may_fall_back: Whether the run continues offline if the server cannot be reached.
        init: Further arguments of `WandbLogger`.
    """

    def __init__(self, folder: Path, media: Media = "auto", may_fall_back: bool = False, **init: Any) -> None:
        super().__init__(save_dir=folder, **init)
        self.media: Media = media
        self._may_fall_back = may_fall_back
        self._best = BestValues(RunFolder(folder).metrics)
        # Lightning always passes this setting, which makes wandb print a line about it in every run
        self._wandb_init.pop("anonymous", None)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, which is started on first use."""
        if self._experiment is None:
            before = os.environ.get("WANDB_MODE")
            try:
                self._start()
            finally:
                # Lightning sets the variable for the whole process, but its next run may need another mode
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
            logger.warning(
                "W&B cannot be reached (%s). The run continues offline; `wandb sync` uploads it later.", error
            )
            wandb.teardown()  # the service process still has the identifier of the run
            self._offline = True
            self._wandb_init["mode"] = "offline"
            _ = super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log values, and set their summaries to the best values so far."""
        best = self._best.update(metrics)
        super().log_metrics(metrics, step)
        if best:
            # after every value, because wandb sets the summary to the last one
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
    """Return a logger that never prompts, uses no network when offline, and does not write to the home folder.

    Host name, paths, console output (which may show patient data), code and installed packages are not recorded.

    Args:
        folder: Folder of the run; wandb writes everything to `folder/wandb`.
        mode: `auto` is online for users who are logged in and offline for others; `offline` needs no account; `online` needs
            one; `disabled` returns None.
        project: W&B project.
        name: Name of the run.
        group: Study that the run belongs to.
        job_type: Role in the study: teacher, baseline, distilled, ...
        tags: Tags.
        media: Whether images may be logged to W&B: `auto`, `local` or `upload`.
        system_metrics: Whether memory and utilisation of GPU and CPU are recorded.
    """
    if mode == "disabled":
        return None
    is_offline = mode == "offline" or (mode == "auto" and not is_logged_in())
    _prepare_environment(folder, is_offline)
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    return RunFolderWandbLogger(
        folder,
        media,
        may_fall_back=mode == "auto",
        offline=is_offline,
        mode="offline" if is_offline else "online",
        **hide_paths({"project": project, "name": name, "group": group, "job_type": job_type, "tags": tags}),
        # resuming and testing with the same identifier continue the same wandb run
        id=_run_id(folder),
        resume="allow",
        settings=_settings(system_metrics),
    )


def _prepare_environment(folder: Path, is_offline: bool) -> None:
    """Set wandb's environment variables, before it is imported."""
    keep_in(folder)
    if is_offline:
        # online, the user's own settings name the server
        os.environ["WANDB_CONFIG_DIR"] = str(folder.resolve() / "wandb" / "home")
    os.environ["WANDB_SILENT"] = "true"
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # wandb's reports of its own errors contain paths


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
    """Close the current wandb run, if there is one. Otherwise the next run in this process would continue it."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code=exit_code)


def sweep_folder(folder: Path) -> Path:
    """Return the folder of a run: the given one, or a subfolder of it for each trial of a W&B sweep."""
    sweep = os.environ.get("WANDB_SWEEP_ID")
    run = os.environ.get("WANDB_RUN_ID")
    return folder / sweep / run if sweep and run else folder


def _run_id(folder: Path) -> str:
    """Return the identifier of a run, which stays the same when it is resumed or tested. A sweep agent sets its own."""
    path = RunFolder(folder).wandb_id
    if not path.is_file():
        given = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
        write_text(path, (given or uuid.uuid4().hex[:12]) + "\n")
    return path.read_text(encoding="utf-8").strip()
