"""Numbers that no average of weights can have are refused."""

from typing import Any

import pytest

from mmpkd.callbacks.ema import EMA


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decay": 2.0}, r"Expected a decay of EMA in \[0, 1\) but got 2\.0"),
        ({"decay": 1.0}, r"Expected a decay of EMA in \[0, 1\) but got 1\.0"),
        ({"decay": -0.1}, r"Expected a decay of EMA in \[0, 1\) but got -0\.1"),
        ({"update_every_n_steps": 0}, "of at least 1 but got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EMA(**options)
