"""Where the outputs come from that a student is distilled from."""

from dataclasses import dataclass
from typing import Literal

from mmpkd.teachers.controls import TargetsControl

TargetsMode = Literal["stored", "online", "image"]


@dataclass(frozen=True)
class TeacherSource:
    """A teacher by its checkpoint, by what it said of the training samples, or a control in its place.

    Attributes:
        path: Checkpoint of a teacher's run, or a folder of stored targets. None for a control that makes its own targets.
        targets: `stored` computes the teacher's outputs once; `online` runs the teacher in every step; `image` runs the
            checkpoint of a student on the same, augmented image (self-distillation).
        control: Replaces the stored outputs by those of a control, such as shuffled ones; see `mmpkd.teachers.controls`.
        calibrate: Divide the teacher's logits by the temperature that fits the validation labels best.
        trust_remote_code: Run Python code that came with the teacher's text encoder, if it needs any.

    Raises:
        ValueError: If these do not go together.
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
                "model.teacher.path, or leave out model.teacher for a student without one."
            )
        if self.calibrate and (self.path is None or self.targets == "image"):
            what = "no teacher to calibrate" if self.path is None else "a teacher of images"
            raise ValueError(
                f"Expected model.teacher.calibrate for a teacher of privileged input but there is {what}. Remove it."
            )

    def _check_control(self, control: TargetsControl) -> None:
        name = type(control).__name__
        if self.targets != "stored":
            raise ValueError(f"Expected model.teacher.targets 'stored' for a control but got '{self.targets}'.")
        if control.needs_teacher and self.path is None:
            raise ValueError(f"Expected a teacher for the control {name} but there is none. Set model.teacher.path.")
        if not control.needs_teacher and self.path is not None:
            raise ValueError(
                f"Expected no teacher for the control {name}, which makes its own targets, but got '{self.path}'. Set "
                "model.teacher.path to null."
            )
