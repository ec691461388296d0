"""Where a fit starts: a run folder belongs to one training, which resumes where it stopped."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path
from typing import Any

from mmpkd.records.checkpoint import checkpoint_to_resume
from mmpkd.records.renamed_settings import check_names
from mmpkd.records.run_folder import RunFolder

logger = logging.getLogger("mmpkd")
# settings of where a run is stored and how it is tracked, which do not change the training
_OUTSIDE = (
    "config",
    "ckpt_path",
    "run.dir",
    "run.group",
    "run.job_type",
    "run.study",
    "run.tags",
    "run.project",
    "run.wandb",
    "run.media",
    "run.figures",
    "run.reference",
    "run.save_every_n_minutes",
    "run.save_every_n_steps",
    "trainer.default_root_dir",
    "trainer.enable_progress_bar",
    "trainer.logger",
    "data.init_args.num_workers",
    "data.init_args.cache_images",
)
_NUM_NAMED = 5


@dataclass(frozen=True)
class FitStart:
    """Where a fit starts.

    Attributes:
        checkpoint: Checkpoint to resume from, or None to start from scratch.
        is_complete: Whether the folder already contains the requested training, and it is finished.
    """

    checkpoint: Path | None
    is_complete: bool = False


@dataclass(frozen=True)
class _Change:
    """A setting that has changed: its full name, its old value and its new one."""

    name: str
    before: Any
    now: Any


def fit_start(folder: RunFolder, settings: Mapping[str, Any], ckpt_path: Path | None) -> FitStart:
    """Return where a fit with the given settings starts.

    Args:
        folder: Folder of the run.
        settings: Complete configuration, as primitives.
        ckpt_path: Checkpoint that the user wants to resume from, or None.

    Raises:
        ValueError: If the folder contains a training with other settings and `ckpt_path` does not name one of its checkpoints,
            or all of its checkpoints are damaged.
    """
    own = [path for path in (folder.last, folder.previous, folder.best) if path.is_file()]
    # whether the user names one of the folder's own checkpoints, which allows changed settings
    # `Path.resolve` raises an error for a link that leads back to itself
    is_own = ckpt_path is not None and Path(realpath(ckpt_path)).parent == Path(realpath(folder.checkpoints))
    if not own and not is_own:
        return FitStart(ckpt_path)
    before = _settings_of(folder)
    changed = _changed_settings(before, settings)
    if ckpt_path is not None and not is_own and str(ckpt_path) == before.get("ckpt_path"):
        ckpt_path = None  # the user repeats the same command
    if folder.is_trained and not changed and (is_own or ckpt_path is None):
        return FitStart(None, is_complete=True)
    if is_own:
        if changed:
            logger.info("resumes with changed settings: %s", _in_words(changed))
        is_last = ckpt_path is not None and ckpt_path.name == folder.last.name
        # a kill may have damaged `last.ckpt`, in which case the one before it is used
        return FitStart(checkpoint_to_resume(folder) or ckpt_path if is_last else ckpt_path)
    if changed or ckpt_path is not None:
        what = _in_words(changed) if changed else f"the new one starts from '{ckpt_path}'"
        raise ValueError(
            f"Expected '{folder.path}' to be empty, or to contain the same training, but it contains another one: {what}. "
            f"Use another folder (--run.dir), delete this one, or resume it with the new settings "
            f"(--ckpt_path={folder.last})."
        )
    return FitStart(checkpoint_to_resume(folder))


def _settings_of(folder: RunFolder) -> Mapping[str, Any]:
    """Return the settings of the training in a folder, or nothing if they are unknown."""
    settings = folder.settings
    check_names(settings, str(folder.config))
    return settings


def _changed_settings(before: Mapping[str, Any], settings: Mapping[str, Any]) -> list[_Change]:
    """Return the settings that have changed."""
    if not before:
        # checkpoints without a configuration may belong to any training
        return [_Change("config.yaml", None, "unknown")]
    known = dict(_flat(before))
    now = dict(_flat(settings))
    return [
        _Change(name, known.get(name), now.get(name))
        for name in sorted(known.keys() | now.keys())
        if known.get(name) != now.get(name) and name not in _OUTSIDE
    ]


def _flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by their full name. An empty mapping is yielded as a value."""
    if not isinstance(settings, Mapping) or not settings:
        yield prefix.removesuffix("."), settings
        return
    for name, value in settings.items():
        yield from _flat(value, f"{prefix}{name}.")


def _in_words(changed: Sequence[_Change]) -> str:
    named = [f"{own.name} was {own.before} and is {own.now}" for own in changed[:_NUM_NAMED]]
    more = len(changed) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
