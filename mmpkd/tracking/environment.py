"""Environment variables of W&B: those that set options of a run, and those that are ignored."""

import logging
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

logger = logging.getLogger("mmpkd")
_MODES = {"online": "online", "offline": "offline", "disabled": "disabled", "run": "online", "dryrun": "offline"}
_OPTIONS = {"WANDB_PROJECT": "run.project", "WANDB_RUN_GROUP": "run.group", "WANDB_JOB_TYPE": "run.job_type"}
_FOLDERS = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")
_set_here: set[str] = set()


def run_defaults() -> dict[str, Any]:
    """Return defaults for options of a run, such as `run.project`, from W&B's environment variables.

    Flags and files override them. wandb itself reads WANDB_ENTITY, WANDB_NOTES, WANDB_BASE_URL and the credentials.

    Raises:
        ValueError: If WANDB_MODE is unknown.
    """
    found: dict[str, Any] = {option: os.environ[name] for name, option in _OPTIONS.items() if os.environ.get(name)}
    tags = [tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",")]
    if any(tags):
        found["run.tags"] = [tag for tag in tags if tag]
    if mode := _mode():
        found["run.wandb"] = mode
    return found


def keep_in(folder: Path) -> None:
    """Make wandb write only into the folder of a run, and warn about variables that ask for another folder."""
    root = folder.resolve()
    wanted = {name: str(root if name == "WANDB_DIR" else root / "wandb" / "home") for name in _FOLDERS}
    _warn_about_unused(wanted)
    os.environ.update(wanted)
    _set_here.update(wanted.values())


def _mode() -> str | None:
    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1"):
        return "disabled"
    given = os.environ.get("WANDB_MODE")
    if given and given not in _MODES:
        raise ValueError(f"Expected WANDB_MODE to be online, offline or disabled but got '{given}'.")
    return _MODES[given] if given else None


@rank_zero_only
def _warn_about_unused(wanted: dict[str, str]) -> None:
    # a value set by an earlier run in this process is not the user's
    unused = [name for name, value in wanted.items() if os.environ.get(name, value) not in {value, *_set_here}]
    if not os.environ.get("WANDB_SWEEP_ID"):
        # in a sweep, the agent sets these
        unused += [name for name in ("WANDB_RUN_ID", "WANDB_RESUME") if os.environ.get(name)]
    if unused:
        logger.warning(
            "Not used: %s. A run keeps its W&B files and its identifier in its own folder, --run.dir.",
            ", ".join(unused),
        )
