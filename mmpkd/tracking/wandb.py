"""Weights & Biases in the run's own folder, offline unless asked for."""

import os
import sys
import uuid
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import WandbLogger

Mode = Literal["offline", "online", "disabled"]


class RunFolderWandbLogger(WandbLogger):
    """WandbLogger without the `anonymous` setting, about which wandb prints a line in every run."""

    def __init__(self, folder: Path, **init: Any) -> None:
        super().__init__(save_dir=folder, **init)
        self._wandb_init.pop("anonymous", None)


def wandb_logger(
    folder: Path,
    mode: Mode,
    project: str,
    name: str,
    group: str | None,
    job_type: str | None,
    tags: list[str],
) -> WandbLogger | None:
    """Return a logger that never prompts, never waits for a network when offline, and leaves the home folder alone.

    Host name, paths, console output, code and installed packages are not recorded: a console may show patient data.

    Args:
        folder: Folder of the run; everything of wandb goes to `folder/wandb`.
        mode: `offline` needs no account; `online` needs one; `disabled` gives None.
        project: W&B project.
        name: Name of the run.
        group: Study that the run belongs to.
        job_type: Role in the study: teacher, baseline, distilled, ...
        tags: Tags.
    """
    if mode == "disabled":
        return None
    for variable in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR", "WANDB_CONFIG_DIR"):
        os.environ[variable] = str(folder.resolve() if variable == "WANDB_DIR" else folder.resolve() / "wandb" / "home")
    os.environ["WANDB_MODE"] = mode
    os.environ["WANDB_SILENT"] = "true"
    import wandb

    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(
        console="off",
        disable_git=True,
        disable_code=True,
        host="anonymous",
        program="mmpkd",
        init_timeout=15,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
        quiet=True,
        silent=True,
    )
    return RunFolderWandbLogger(
        folder,
        offline=mode == "offline",
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


def _run_id(folder: Path) -> str:
    """Return the identifier that a run keeps when it is resumed or tested."""
    path = folder / "wandb_run_id.txt"
    if not path.is_file():
        path.write_text(uuid.uuid4().hex[:12] + "\n")
    return path.read_text().strip()
