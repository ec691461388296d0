"""Settings of Lightning's trainer that a run would ignore or be harmed by: refused by name, with the way to what was meant."""

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
# name, what is refused, and what to do; {} is the value
_REFUSED: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "default_root_dir",
        lambda value: value is not None,
        "no trainer.default_root_dir but got '{}': all that a run writes lies in its own folder. Set --run.dir.",
    ),
    (
        "enable_checkpointing",
        lambda value: value is False,
        "trainer.enable_checkpointing to be true but got false: `best.ckpt` is what is tested, and an interrupted run goes on "
        "from `last.ckpt`. Leave it out.",
    ),
    (
        "use_distributed_sampler",
        lambda value: value is True,
        "trainer.use_distributed_sampler to be false but got true: the data module shares the samples out itself, each to one "
        "process. Leave it out.",
    ),
    (
        "model_registry",
        lambda value: value is not None,
        "no trainer.model_registry but got '{}': a run uploads no checkpoint. Leave it out.",
    ),
    (
        "barebones",
        bool,
        "no trainer.barebones but got true: it forbids the checkpoints and logs that make a run. Leave it out.",
    ),
    (
        "strategy",
        lambda value: bool(_SHARDS.search(_name(value))),
        "a trainer.strategy that keeps the whole model on each device but got '{}': checkpoints, maps and the teacher's lookup "
        "need all of it. Set auto or ddp.",
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
    """Refuse settings that would be ignored or do harm.

    Args:
        trainer: Settings of the trainer as attributes, before anything is made of them: a class is a `class_path`.
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
    """Return the callbacks of the user's own, beside those of the run.

    Args:
        configured: `trainer.callbacks`: a callback, several, or None.
        figures: Whether those are among them that draw maps or score their faithfulness.

    Raises:
        ValueError: If one of them changes how many batches make a step: a run that goes on would not notice.
    """
    callbacks = _as_list(configured)
    if any(isinstance(callback, GradientAccumulationScheduler) for callback in callbacks):
        raise ValueError(
            "Expected no GradientAccumulationScheduler in trainer.callbacks but got one: learning rate and resumes count equal "
            "steps. Set --trainer.accumulate_grad_batches."
        )
    return callbacks if figures else [callback for callback in callbacks if not _is_of_figures(callback)]


def _is_of_figures(callback: Callback) -> bool:
    from mmpkd.callbacks.localization import AttributionMapLogger, FaithfulnessMonitor  # a teacher's run needs neither

    return isinstance(callback, AttributionMapLogger | FaithfulnessMonitor)


def users_plugins(configured: object) -> list[Any]:
    """Return the plugins of the user's own, beside the run's `SafeCheckpointIO`.

    Args:
        configured: `trainer.plugins`: a plugin, several, or None.

    Raises:
        ValueError: If one of them writes checkpoints.
    """
    plugins = _as_list(configured)
    if any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        raise ValueError(
            "Expected no CheckpointIO in trainer.plugins but got one: the run's own survives kills. Leave it out."
        )
    return plugins


def users_loggers(configured: object) -> list[Logger]:
    """Return the loggers of the user's own, beside `metrics.csv` and W&B.

    Args:
        configured: `trainer.logger`: a logger, several, or whether there are any.

    Raises:
        ValueError: If one of them is of W&B.
    """
    loggers = [] if isinstance(configured, bool) else _as_list(configured)
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        raise ValueError(
            "Expected no WandbLogger in trainer.logger but got one: every run has its own, which keeps paths and patients' data "
            "to itself. Set --run.wandb and --run.project."
        )
    return loggers


def check_monitor(monitor: str, label_names: Iterable[str]) -> None:
    """Check that the score that chooses the checkpoint is one of classification, and of a label that there is.

    Raises:
        ValueError: If it is not.
    """
    if not re.fullmatch(r"val/(auroc|auprc|f1)[^/]*(/.*)?", monitor):
        raise ValueError(
            "Expected run.monitor to be a validation score of classification (val/auroc..., val/auprc..., val/f1...) but "
            f"got '{monitor}'. Localization must not choose a checkpoint."
        )
    check_names([monitor], list(scores_by_labels(label_names)), "scores in run.monitor")


def _name(value: Any) -> str:
    return str(getattr(value, "class_path", value))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
