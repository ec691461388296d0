"""Experiments on multimodal privileged knowledge distillation in medical imaging."""

import sys
from importlib.metadata import version
from pathlib import Path

__version__ = version("mmpkd")

# `python -m` looks into the working directory first, where there may be a data_modules of the user's: ours is beside mmpkd
sys.path.insert(0, str(Path(__file__).parents[1]))
import data_modules  # noqa: F401

del sys.path[0]
