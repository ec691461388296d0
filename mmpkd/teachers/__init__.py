"""Teachers: encoders of privileged input, and the outputs of a frozen teacher."""

from mmpkd.teachers.base import PrivilegedEncoder
from mmpkd.teachers.fusion import FusionEncoder
from mmpkd.teachers.tabular import FTTransformerEncoder, TabularEncoder
from mmpkd.teachers.teacher import FrozenTeacher, Teacher, load_teacher
from mmpkd.teachers.text import TextEncoder

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
