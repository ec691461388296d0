"""The documentation site says what the code says."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
MESSAGES = re.findall(r"^> `([^`]+)`$", (DOCS / "faq.md").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def code() -> str:
    files = [file for package in ("mmpkd", "data_modules") for file in sorted((REPOSITORY / package).rglob("*.py"))]
    return "\n".join(file.read_text() for file in files)


@pytest.mark.parametrize("message", MESSAGES)
def test_errors_that_are_explained_are_in_the_code(message: str, code: str) -> None:
    assert message in code


def test_every_tutorial_has_its_place() -> None:
    scripts = {script.name for script in (DOCS / "tutorials").glob("*.py")}
    ordered = re.findall(r'^        "(\w+\.py)",$', (DOCS / "conf.py").read_text(), re.MULTILINE)
    assert sorted(ordered) == sorted(scripts)
