"""How far the training of a study's run is: what the table of the study shows while it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunProgress:
    """How far a training is.

    Attributes:
        epoch: Epochs that are done.
        epochs: Epochs in all, or None if the training ends after a number of steps.
        score: Last validation AUROC, or None before a validation.
        seconds_left: Seconds that the other epochs will take, or None if their number is not known.
    """

    epoch: int
    epochs: int | None = None
    score: float | None = None
    seconds_left: float | None = None
