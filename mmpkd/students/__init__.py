"""Image-only students."""

from mmpkd.students.vit import VisionTransformerStudent, load_student

__all__ = ["VisionTransformerStudent", "load_student"]
