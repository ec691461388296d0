"""Checks of Lightning's trainer settings, as far as they are plain values."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from data_modules.columns import check_names
from mmpkd.callbacks.label_check import scores_by_labels

_SHARDS = re.compile(r"fsdp|deepspeed|model_?parallel", re.IGNORECASE)
_SPAWNS = re.compile(r"spawn", re.IGNORECASE)
# batches that a command other than fit works on
_LIMITS = {"validate": "limit_val_batches", "test": "limit_test_batches", "predict": "limit_predict_batches"}
_LARGEST_SEED = 2**32 - 1
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
    (
        "strategy",
        lambda value: bool(_SPAWNS.search(_name(value))),
        "a trainer.strategy whose processes start as programs of their own but got '{}', which would copy the run into them. Set "
        "auto or ddp.",
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
    if command == "fit":
        _check_length(trainer)
    elif getattr(trainer, _LIMITS[command]) == 0:
        raise ValueError(
            f"Expected trainer.{_LIMITS[command]} above 0 but got 0: `mmpkd {command}` would have nothing to do. Leave it out."
        )


def check_seed(seed: Any) -> None:
    """Check that a run has one seed.

    Args:
        seed: `seed_everything`.

    Raises:
        ValueError: If it is no number, or out of the range of NumPy's seeds.
    """
    # Lightning would draw no seed for false, and one that the data do not know for true
    if isinstance(seed, bool) or not 0 <= seed <= _LARGEST_SEED:
        raise ValueError(f"Expected seed_everything to be a number in [0, {_LARGEST_SEED}] but got {seed}.")


def _check_length(trainer: Any) -> None:
    """Check that a training has a validation, and that its least length is not above the largest one."""
    epochs = trainer.max_epochs
    every = trainer.check_val_every_n_epoch
    if every is not None and epochs is not None and 0 < epochs < every:
        raise ValueError(
            f"Expected trainer.check_val_every_n_epoch of at most {epochs}, the number of epochs, but got {every}: without a "
            "validation there is no `best.ckpt`."
        )
    for unit in ("epochs", "steps"):
        least = getattr(trainer, f"min_{unit}")
        most = getattr(trainer, f"max_{unit}")
        if least is not None and most is not None and 0 < most < least:
            raise ValueError(f"Expected trainer.min_{unit} of at most {most}, trainer.max_{unit}, but got {least}.")


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
