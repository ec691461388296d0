"""Where a run lives, and which patients it leaves out: checked before anything is read."""

from typing import Any

import pytest

from mmpkd.cli.run_options import RunOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dir": ""}, r"Expected a folder in run\.dir but it is empty"),
        ({"dir": " "}, r"Expected a folder in run\.dir but it is empty"),
        ({"num_folds": -3}, r"Expected run\.num_folds to be 0, or 2 or more, but got -3"),
        ({"num_folds": 1}, r"Expected run\.num_folds to be 0, or 2 or more, but got 1"),
        ({"num_folds": 3, "held_out_fold": 3}, r"Expected run\.held_out_fold in \[0, 2\] but got 3"),
        ({"num_folds": 3, "held_out_fold": -1}, r"Expected run\.held_out_fold in \[0, 2\] but got -1"),
    ],
)
def test_options_that_a_run_cannot_have_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RunOptions(**options)


def test_the_last_of_several_folds_can_be_left_out() -> None:
    assert RunOptions(num_folds=3, held_out_fold=2).held_out_fold == 2
