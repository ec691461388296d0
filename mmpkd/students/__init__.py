"""Image-only students."""

from mmpkd.students.trained import TrainedStudent, load_student, load_trained_student, untrained_student
from mmpkd.students.vit import VisionTransformerStudent

__all__ = ["TrainedStudent", "VisionTransformerStudent", "load_student", "load_trained_student", "untrained_student"]
