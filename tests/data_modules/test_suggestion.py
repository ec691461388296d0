import pytest

from data_modules.suggestion import did_you_mean


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("temp", " Did you mean 'temperature'?"),  # cut short
        ("temprature", " Did you mean 'temperature'?"),  # misspelt
        ("la", " Did you mean 'label' or 'labels'?"),  # the shortest first, two at most
        ("x", ""),
    ],
)
def test_the_nearest_names_are_suggested(word: str, hint: str) -> None:
    assert did_you_mean(word, ["temperature", "label_names", "labels", "label", "weight"]) == hint
