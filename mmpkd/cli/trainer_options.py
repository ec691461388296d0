"""Checks of Lightning's trainer settings: those that a run would ignore or that would break it are refused by name."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.loggers import Logger, WandbLogger

from data_modules.columns import check_names
from mmpkd.callbacks.label_check import scores_by_labels

_SHARDS = re.compile(r"fsdp|deepspeed|model_?parallel", re.IGNORECASE)
# name, which values are refused, and the message; {} is the value
_REFUSED: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "default_root_dir",
        lambda value: value is not None,
        "no trainer.default_root_dir but got '{}': a run writes only into its own folder. Set --run.dir.",
    ),
    (
        "enable_checkpointing",
        lambda value: value is False,
        "trainer.enable_checkpointing to be true but got false: tests need `best.ckpt`, and an interrupted run resumes from "
        "`last.ckpt`. Leave it out.",
    ),
    (
        "use_distributed_sampler",
        lambda value: value is True,
        "trainer.use_distributed_sampler to be false but got true: the data module itself distributes samples over processes. "
        "Leave it out.",
    ),
    (
        "model_registry",
        lambda value: value is not None,
        "no trainer.model_registry but got '{}': a run does not upload checkpoints. Leave it out.",
    ),
    (
        "barebones",
        bool,
        "no trainer.barebones but got true: it disables the checkpoints and logs that a run needs. Leave it out.",
    ),
    (
        "strategy",
        lambda value: bool(_SHARDS.search(_name(value))),
        "a trainer.strategy that keeps the whole model on each device but got '{}': checkpoints, maps and the teacher's lookup "
        "need the whole model. Set auto or ddp.",
    ),
    ("log_every_n_steps", lambda value: value is not None and value < 0, "trainer.log_every_n_steps >= 0 but got {}."),
    (
        "check_val_every_n_epoch",
        lambda value: value is not None and value < 1,
        "trainer.check_val_every_n_epoch >= 1 but got {}: a validation chooses `best.ckpt`.",
    ),
    (
        "val_check_interval",
        lambda value: isinstance(value, int | float) and value <= 0,
        "trainer.val_check_interval above 0 but got {}: a validation chooses `best.ckpt`.",
    ),
    ("accumulate_grad_batches", lambda value: value < 1, "trainer.accumulate_grad_batches >= 1 but got {}."),
    ("gradient_clip_val", lambda value: value is not None and value < 0, "trainer.gradient_clip_val >= 0 but got {}."),
)
_REFUSED_IN_FIT: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "limit_val_batches",
        lambda value: value == 0,
        "trainer.limit_val_batches above 0 but got {}: a validation chooses `best.ckpt`. Set it to 1.0 or leave it out.",
    ),
    (
        "max_epochs",
        lambda value: value == 0,
        "trainer.max_epochs above 0 but got {}. For an untrained model, set --trainer.limit_train_batches=0.",
    ),
    (
        "max_steps",
        lambda value: value == 0,
        "trainer.max_steps above 0 but got {}. For an untrained model, set --trainer.limit_train_batches=0.",
    ),
)


def check_trainer(trainer: Any, command: str) -> None:
    """Refuse settings that a run would ignore or that would break it.

    Args:
        trainer: Settings of the trainer as attributes, before classes are instantiated.
        command: fit, validate, test or predict.

    Raises:
        ValueError: For the first such setting.
    """
    for name, is_refused, text in (*_REFUSED, *(_REFUSED_IN_FIT if command == "fit" else ())):
        value = getattr(trainer, name)
        if is_refused(value):
            raise ValueError(f"Expected {text.format(_name(value))}")
    epochs = trainer.max_epochs
    every = trainer.check_val_every_n_epoch
    if command == "fit" and every is not None and epochs is not None and 0 < epochs < every:
        raise ValueError(
            f"Expected trainer.check_val_every_n_epoch of at most {epochs}, the number of epochs, but got {every}: without a "
            "validation there is no `best.ckpt`."
        )


def users_callbacks(configured: object, figures: bool = True) -> list[Callback]:
    """Return the callbacks that the user has configured.

    Args:
        configured: `trainer.callbacks`: a callback, several, or None.
        figures: Whether those are among them that draw maps or score their faithfulness.

    Raises:
        ValueError: If one of them changes the number of batches per step, which a resumed run would not notice.
    """
    callbacks = _as_list(configured)
    if any(isinstance(callback, GradientAccumulationScheduler) for callback in callbacks):
        raise ValueError(
            "Expected no GradientAccumulationScheduler in trainer.callbacks but got one: the learning rate schedule and resumes "
            "need steps of equal size. Set --trainer.accumulate_grad_batches."
        )
    return callbacks if figures else [callback for callback in callbacks if not _is_of_figures(callback)]


def _is_of_figures(callback: Callback) -> bool:
    from mmpkd.callbacks.localization import AttributionMapLogger, FaithfulnessMonitor  # a teacher's run needs neither

    return isinstance(callback, AttributionMapLogger | FaithfulnessMonitor)


def users_plugins(configured: object) -> list[Any]:
    """Return the plugins that the user has configured.

    Args:
        configured: `trainer.plugins`: a plugin, several, or None.

    Raises:
        ValueError: If one of them writes checkpoints.
    """
    plugins = _as_list(configured)
    if any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        raise ValueError(
            "Expected no CheckpointIO in trainer.plugins but got one: a run has its own, which writes atomically. Leave it out."
        )
    return plugins


def users_loggers(configured: object) -> list[Logger]:
    """Return the loggers that the user has configured, in addition to `metrics.csv` and W&B.

    Args:
        configured: `trainer.logger`: a logger, several, or a bool.

    Raises:
        ValueError: If one of them is a `WandbLogger`.
    """
    loggers = [] if isinstance(configured, bool) else _as_list(configured)
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        raise ValueError(
            "Expected no WandbLogger in trainer.logger but got one: every run has its own, which does not upload paths or "
            "patient data. Set --run.wandb and --run.project."
        )
    return loggers


def check_monitor(monitor: str, label_names: Iterable[str]) -> None:
    """Check that the monitored score is a classification score of an existing label.

    Args:
        monitor: Name of the score, `run.monitor`.
        label_names: Names of the labels.

    Raises:
        ValueError: If it is not.
    """
    if not re.fullmatch(r"val/(auroc|auprc|f1)[^/]*(/.*)?", monitor):
        raise ValueError(
            "Expected run.monitor to be a classification score on the validation split (val/auroc..., val/auprc..., val/f1...) "
            f"but got '{monitor}'. Localization must not be used to choose a checkpoint."
        )
    check_names([monitor], list(scores_by_labels(label_names)), "scores in run.monitor")


def _name(value: Any) -> str:
    return str(getattr(value, "class_path", value))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
