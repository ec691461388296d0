"""The report finds the words; statistics and analysis only say what is the case."""

from typing import get_args

import pytest

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.intervals import IntervalMethod
from mmpkd.statistics.matching import Held, Matched
from mmpkd.study.report.comparisons import matched_row
from mmpkd.study.report.names import EXTRAPOLATED, HELD_EQUAL, INTERVAL_NAMES


def test_every_method_has_a_name_of_its_own() -> None:
    for names, kinds in ((INTERVAL_NAMES, get_args(IntervalMethod)), (HELD_EQUAL, get_args(Held))):
        assert set(names) == set(kinds)
        assert len(set(names.values())) == len(kinds)


@pytest.mark.parametrize(("is_extrapolated", "note"), [(True, EXTRAPOLATED), (False, "")])
def test_a_line_over_a_gap_is_told(is_extrapolated: bool, note: str) -> None:
    row = matched_row(Matched("macro_auroc", Effect(0.1, 0.2, 5.0), 10, is_extrapolated))
    assert (row.title, row.note, row.num) == ("macro AUROC (regression over runs)", note, 10)
