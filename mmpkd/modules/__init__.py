"""Lightning modules for training a teacher, and a student with or without a teacher."""

from mmpkd.modules.base import ClassificationModule
from mmpkd.modules.distillation import DistillationModule
from mmpkd.modules.optimizer import OptimizerSettings, TeacherOptimizerSettings
from mmpkd.modules.teacher import TeacherModule

__all__ = [
    "ClassificationModule",
    "DistillationModule",
    "OptimizerSettings",
    "TeacherModule",
    "TeacherOptimizerSettings",
]
