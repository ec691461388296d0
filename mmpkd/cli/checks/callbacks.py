"""Checks of the callbacks that the user has configured."""

import re
from collections.abc import Iterable, Sequence
from pydoc import locate
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelPruning,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)
from lightning.pytorch.utilities.model_helpers import is_overridden

from mmpkd.callbacks.ema import EMA

# class, and why a run cannot have it and what to set instead
_REFUSED: tuple[tuple[type[Callback], str], ...] = (
    (
        GradientAccumulationScheduler,
        "the learning rate schedule and resumes need steps of equal size. Set --trainer.accumulate_grad_batches.",
    ),
    (
        StochasticWeightAveraging,
        "it replaces the learning rate schedule, and `best.ckpt` would not have its weights. Set --trainer.callbacks+=EMA.",
    ),
    (
        WeightAveraging,
        "it gives the trained weights back before the F1 thresholds are chosen. Set --trainer.callbacks+=EMA.",
    ),
    (
        LearningRateFinder,
        "the run would have another learning rate than its `config.yaml`. Set --model.optimizer.lr.",
    ),
    (BatchSizeFinder, "the run would have another batch size than its `config.yaml`. Set --data.batch_size."),
    (ModelPruning, "checkpoints would hold other weights than those of the student. Prune the student after training."),
    (Timer, "a run limits its time itself. Set --trainer.max_time."),
    (ProgressBar, "a run has its own. Set --trainer.enable_progress_bar."),
)
_HIGHER_IS_BETTER = re.compile(r"val/(auroc|auprc|f1)(_macro$|/)")


def check_classes(configured: object) -> None:
    """Check the classes of callbacks before anything is made of them; the defaults of some have no form in YAML.

    Args:
        configured: `trainer.callbacks` before classes are instantiated.

    Raises:
        ValueError: If a run cannot have one of them.
    """
    for settings in configured if isinstance(configured, list) else [configured]:
        kind = locate(getattr(settings, "class_path", ""))
        if isinstance(kind, type):
            _check_class(kind)


def users_callbacks(configured: object, figures: bool = True) -> list[Callback]:
    """Return the callbacks that the user has configured.

    Args:
        configured: `trainer.callbacks`: a callback, several, or None.
        figures: Whether those are among them that draw maps or score their faithfulness.

    Raises:
        ValueError: If a run cannot have one of them, if Lightning could not tell apart what two of them save, or if one would
            stop the training by localization, or as soon as a score improves.
    """
    callbacks = as_list(configured)
    for callback in callbacks:
        _check_class(type(callback))
        if isinstance(callback, EarlyStopping):
            _check_early_stopping(callback, callbacks)
    _check_states(callbacks)
    return callbacks if figures else [callback for callback in callbacks if not _is_of_figures(callback)]


def as_list(value: Any) -> list[Any]:
    """Return one object, several, or None as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def _check_class(kind: type) -> None:
    for refused, reason in _REFUSED:
        if issubclass(kind, refused) and not issubclass(kind, EMA):
            raise ValueError(f"Expected no {kind.__name__} in trainer.callbacks but got one: {reason}")


def _check_early_stopping(stopping: EarlyStopping, callbacks: Sequence[Callback]) -> None:
    """Check that a training is stopped neither by localization nor as soon as a score improves."""
    monitor = stopping.monitor
    if monitor.startswith(tuple(_prefixes_of_localization(callbacks))):
        raise ValueError(
            f"Expected EarlyStopping to monitor a loss or a classification score but got '{monitor}'. Localization must not be "
            "used to choose a checkpoint."
        )
    if _HIGHER_IS_BETTER.match(monitor) and stopping.mode != "max":
        raise ValueError(
            f"Expected EarlyStopping with mode: max for '{monitor}', where higher is better, but got {stopping.mode}: it would "
            "stop a training that improves."
        )


def _prefixes_of_localization(callbacks: Sequence[Callback]) -> list[str]:
    from mmpkd.callbacks.localization import LocalizationMonitor  # a teacher's run has none

    monitors = [callback for callback in callbacks if isinstance(callback, LocalizationMonitor)]
    return [f"val/{method.name}/" for monitor in monitors for method in monitor.attributions]


def _check_states(callbacks: Sequence[Callback]) -> None:
    """Check that no two callbacks save their state under the same name in a checkpoint."""
    keys = [call.state_key for call in callbacks if is_overridden("state_dict", instance=call, parent=Callback)]
    for callback in callbacks:
        count = keys.count(callback.state_key)
        if count > 1:
            raise ValueError(
                f"Expected one {type(callback).__name__} in trainer.callbacks but got {count} with the same state in a "
                "checkpoint. Leave the others out, also in a `base` of the configuration."
            )


def _is_of_figures(callback: Callback) -> bool:
    from mmpkd.callbacks.localization import AttributionMapLogger, FaithfulnessMonitor  # a teacher's run needs neither

    return isinstance(callback, AttributionMapLogger | FaithfulnessMonitor)
