"""Teachers: encoders of privileged input, and the outputs of a frozen teacher."""

from mmpkd.teachers.encoders.base import PrivilegedEncoder
from mmpkd.teachers.encoders.fusion import FusionEncoder
from mmpkd.teachers.encoders.tabular import FTTransformerEncoder, TabularEncoder
from mmpkd.teachers.encoders.text import TextEncoder
from mmpkd.teachers.teacher import FrozenTeacher, Teacher, load_teacher

__all__ = [
    "FTTransformerEncoder",
    "FrozenTeacher",
    "FusionEncoder",
    "PrivilegedEncoder",
    "TabularEncoder",
    "Teacher",
    "TextEncoder",
    "load_teacher",
]
