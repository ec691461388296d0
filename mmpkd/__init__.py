"""Experiments on multimodal privileged knowledge distillation in medical imaging."""

import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmpkd.inference import infer
    from mmpkd.losses import Objective
    from mmpkd.modules import DistillationModule, OptimizerSettings, TeacherModule, TeacherOptimizerSettings
    from mmpkd.students import VisionTransformerStudent, load_student
    from mmpkd.teachers import TabularEncoder, TeacherSource, TextEncoder, load_teacher

__version__ = version("mmpkd")

# what a notebook needs, by its place: imported when it is used, since PyTorch and Lightning take seconds
_PLACES = {
    "DistillationModule": "mmpkd.modules",
    "Objective": "mmpkd.losses",
    "OptimizerSettings": "mmpkd.modules",
    "TabularEncoder": "mmpkd.teachers",
    "TeacherModule": "mmpkd.modules",
    "TeacherOptimizerSettings": "mmpkd.modules",
    "TeacherSource": "mmpkd.teachers",
    "TextEncoder": "mmpkd.teachers",
    "VisionTransformerStudent": "mmpkd.students",
    "infer": "mmpkd.inference",
    "load_student": "mmpkd.students",
    "load_teacher": "mmpkd.teachers",
}
__all__ = [
    "DistillationModule",
    "Objective",
    "OptimizerSettings",
    "TabularEncoder",
    "TeacherModule",
    "TeacherOptimizerSettings",
    "TeacherSource",
    "TextEncoder",
    "VisionTransformerStudent",
    "infer",
    "load_student",
    "load_teacher",
]


def __getattr__(name: str) -> Any:
    """Import what is used for the first time."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Return all names, those that are not imported yet, too."""
    return sorted([*globals(), *_PLACES])


# `python -m` looks into the working directory first, where there may be a data_modules of the user's: ours is beside mmpkd
sys.path.insert(0, str(Path(__file__).parents[1]))
import data_modules  # noqa: E402, F401

del sys.path[0]
