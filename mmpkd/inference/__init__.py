"""Application of a trained student to image files."""

from mmpkd.inference.predictions import infer

__all__ = ["infer"]
