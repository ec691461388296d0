"""Where a fit begins: a run folder belongs to one fit, which goes on where it stopped."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmpkd.records.checkpoint import checkpoint_to_resume
from mmpkd.records.renamed_settings import check_names
from mmpkd.records.run_folder import RunFolder

logger = logging.getLogger("mmpkd")
# they say where a run lives and how it is shown, and change nothing of what is trained
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
    """Where a fit begins.

    Attributes:
        checkpoint: Checkpoint to go on from, or None to begin.
        is_complete: Whether the folder holds the finished training that is asked for.
    """

    checkpoint: Path | None
    is_complete: bool = False


@dataclass(frozen=True)
class _Change:
    """A setting that differs: its full name, its value before, and its value now."""

    name: str
    before: Any
    now: Any


def fit_start(folder: RunFolder, settings: Mapping[str, Any], ckpt_path: Path | None) -> FitStart:
    """Return where a fit with the given settings begins.

    Args:
        folder: Folder of the run.
        settings: Complete configuration, as primitives.
        ckpt_path: Checkpoint that the user asks to go on from, or None.

    Raises:
        ValueError: If the folder holds a training with other settings and the user does not ask to go on with it, or all of
            its checkpoints are damaged.
    """
    own = [path for path in (folder.last, folder.previous, folder.best) if path.is_file()]
    is_own = ckpt_path is not None and ckpt_path.resolve().parent == folder.checkpoints.resolve()
    if not own and not is_own:
        return FitStart(ckpt_path)
    before = _settings_of(folder)
    changed = _changed_settings(before, settings)
    if ckpt_path is not None and not is_own and str(ckpt_path) == before.get("ckpt_path"):
        ckpt_path = None  # the same command again
    if folder.is_trained and not changed and (is_own or ckpt_path is None):
        return FitStart(None, is_complete=True)
    if is_own:
        if changed:
            logger.info("goes on with other settings: %s", _in_words(changed))
        is_last = ckpt_path is not None and ckpt_path.name == folder.last.name
        return FitStart(checkpoint_to_resume(folder) or ckpt_path if is_last else ckpt_path)
    if changed or ckpt_path is not None:
        what = _in_words(changed) if changed else f"it is to begin from '{ckpt_path}'"
        raise ValueError(
            f"Expected '{folder.path}' to be free, or to hold the training that is asked for, but it holds another one: {what}. "
            f"Give another folder (--run.dir), delete this one, or go on from it with the new settings "
            f"(--ckpt_path={folder.last})."
        )
    return FitStart(checkpoint_to_resume(folder))


def _settings_of(folder: RunFolder) -> Mapping[str, Any]:
    """Return the settings of the training in a folder; none if they are not known."""
    if not folder.config.is_file():
        return {}
    try:
        content = yaml.safe_load(folder.config.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"Expected a configuration in '{folder.config}' but it is damaged: {error}.") from error
    settings: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    check_names(settings, str(folder.config))
    return settings


def _changed_settings(before: Mapping[str, Any], settings: Mapping[str, Any]) -> list[_Change]:
    """Return the settings that differ from those of before."""
    if not before:
        return [_Change("config.yaml", None, "unknown")]
    known = dict(_flat(before))
    now = dict(_flat(settings))
    return [
        _Change(name, known.get(name), now.get(name))
        for name in sorted(known.keys() | now.keys())
        if known.get(name) != now.get(name) and name not in _OUTSIDE
    ]


def _flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by their full name; an empty part counts as one value."""
    if not isinstance(settings, Mapping) or not settings:
        yield prefix.removesuffix("."), settings
        return
    for name, value in settings.items():
        yield from _flat(value, f"{prefix}{name}.")


def _in_words(changed: Sequence[_Change]) -> str:
    named = [f"{own.name} was {own.before} and is {own.now}" for own in changed[:_NUM_NAMED]]
    more = len(changed) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
