"""A trained student on image files."""

from mmpkd.inference.predictions import infer

__all__ = ["infer"]
