"""Teachers: encoders of privileged input, outputs of a frozen teacher, and controls that change these outputs."""

from mmpkd.teachers.controls import LabelOracle, NoisyTargets, ShuffledTargets, TargetsControl
from mmpkd.teachers.encoders.base import PrivilegedEncoder
from mmpkd.teachers.encoders.fusion import FusionEncoder
from mmpkd.teachers.encoders.huggingface import Source
from mmpkd.teachers.encoders.tabular import FTTransformerEncoder, TabularEncoder
from mmpkd.teachers.encoders.text import TextEncoder
from mmpkd.teachers.encoders.windows import Windows
from mmpkd.teachers.source import TeacherSource
from mmpkd.teachers.teacher import FrozenTeacher, Teacher, load_teacher

__all__ = [
    "FTTransformerEncoder",
    "FrozenTeacher",
    "FusionEncoder",
    "LabelOracle",
    "NoisyTargets",
    "PrivilegedEncoder",
    "ShuffledTargets",
    "Source",
    "TabularEncoder",
    "TargetsControl",
    "Teacher",
    "TeacherSource",
    "TextEncoder",
    "Windows",
    "load_teacher",
]
