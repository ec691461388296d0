"""Where the outputs come from that a student learns from."""

from dataclasses import dataclass
from typing import Literal

from mmpkd.teachers.controls import TargetsControl

TargetsMode = Literal["stored", "online", "image"]


@dataclass(frozen=True)
class TeacherSource:
    """A teacher's checkpoint, its stored targets, or a control instead of a teacher.

    Attributes:
        path: Checkpoint of a teacher's run, or a folder of stored targets. None for a control that generates its own targets.
        targets: `stored` computes the teacher's outputs once; `online` runs the teacher at every step; `image` runs the
            checkpoint of a student on the same augmented image (self-distillation).
        control: Replaces stored outputs, for example by shuffled ones; see `mmpkd.teachers.controls`.
        calibrate: Divide the teacher's logits by the temperature that fits the validation labels best.
        trust_remote_code: Run Python code that comes with the teacher's text encoder, if it needs any.

    Raises:
        ValueError: If the options exclude each other, or one is missing.
    """

    path: str | None = None
    targets: TargetsMode = "stored"
    control: TargetsControl | None = None
    calibrate: bool = False
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.control is not None:
            self._check_control(self.control)
        elif self.path is None:
            raise ValueError(
                "Expected a checkpoint, a folder of targets or a control as the teacher but there is none. Set "
                "model.teacher.path, or leave out model.teacher to train a student without a teacher."
            )
        if self.calibrate and (self.path is None or self.targets == "image"):
            found = "no teacher" if self.path is None else "a teacher on images"
            raise ValueError(
                f"Expected a teacher on privileged input for model.teacher.calibrate but there is {found}. Remove it."
            )

    def _check_control(self, control: TargetsControl) -> None:
        name = type(control).__name__
        if self.targets != "stored":
            raise ValueError(f"Expected model.teacher.targets 'stored' for a control but got '{self.targets}'.")
        if control.needs_teacher and self.path is None:
            raise ValueError(f"Expected a teacher for the control {name} but there is none. Set model.teacher.path.")
        if not control.needs_teacher and self.path is not None:
            raise ValueError(
                f"Expected no teacher for the control {name}, which generates its own targets, but got '{self.path}'. Set "
                "model.teacher.path to null."
            )
