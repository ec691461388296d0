"""The unit of localization: what a map is scored against."""

from typing import Literal, get_args

# the region of a finding, or the union of an image's regions
Unit = Literal["finding", "image"]
UNITS: tuple[Unit, ...] = get_args(Unit)
