"""Real public data, where it is on the machine."""

import os
from pathlib import Path

import pytest


def real_data(name: str) -> Path:
    """Return a folder of real data, or skip the test: set MMPKD_REAL_DATA to the folder that holds it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MMPKD_REAL_DATA", default)) / name
    if not folder.is_dir():
        pytest.skip(f"the real data set '{name}' is not on this machine (set MMPKD_REAL_DATA)")
    return folder
