"""Names of labels, labels that have one value only, and JSON without NaN."""

import json
import math
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.files.json_file import json_text, write_json
from data_modules.labels import check_label_names, metric_name, without_both_values
from tests.tiny import TinyDataModule

NAMES = st.lists(st.text("Aa _bZ", min_size=1, max_size=3), min_size=1, max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@given(names=NAMES)
def test_names_that_are_accepted_are_different_names_of_scores(names: list[str]) -> None:
    try:
        check_label_names(names)
    except ValueError:
        keys = [name.lower().replace(" ", "_") for name in names]
        assert len(set(keys)) < len(keys) or any(not key.strip("_") for key in keys)
    else:
        assert len({metric_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("names", [("A b", "a_b"), ("A", "A"), ("Left Finding", "left finding")])
def test_labels_whose_scores_would_have_one_name_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"got '{names[0]}' and '{names[1]}'"):
        TinyDataModule(str(tmp_path), label_names=names)


def test_labels_without_both_values() -> None:
    nan = np.nan
    label = np.array([[0, 1, nan, 1, nan], [0, nan, nan, 0, 1]], dtype=np.float32)
    expected = {"a": "always 0", "b": "always 1", "c": "not stated", "e": "always 1"}
    assert without_both_values(label, "abcde") == expected
    assert without_both_values(label[:0], "ab" + "cde") == dict.fromkeys("abcde", "not stated")


@settings(max_examples=40)
@given(content=st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_any_content_is_strict_json_and_only_numbers_that_are_not_finite_change(content: dict[str, object]) -> None:
    read = json.loads(json_text(content), parse_constant=refuse)
    # Python's own, lenient JSON as the reference
    lenient = json.loads(json.dumps(content), parse_constant=lambda _: None)
    assert read == lenient


def test_a_file_holds_null_for_what_is_not_a_number(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"best": -math.inf, "scores": {"a": np.float64("nan"), "b": (0.5, math.inf)}})
    assert json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse) == {
        "best": None,
        "scores": {"a": None, "b": [0.5, None]},
    }
