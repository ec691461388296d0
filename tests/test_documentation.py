"""The documentation names things that exist, and shows how to use them."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path

import pytest

from mmpkd import statistics

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?", page.read_text()):
        file = REPOSITORY / path
        assert file.exists(), path
        assert not name or f"\ndef {name}(" in file.read_text(), f"{path}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("package", ["mmpkd.attribution", "mmpkd.losses", "mmpkd.metrics"])
def test_every_public_function_has_an_example(package: str) -> None:
    module = import_module(package)
    exported = [getattr(module, name) for name in module.__all__]
    functions = [value for value in exported if isfunction(value)]
    assert functions
    assert [function.__name__ for function in functions if ">>> " not in (function.__doc__ or "")] == []


def public_statistics() -> Iterator[object]:
    """Yield the functions of `mmpkd.statistics`, which exports none; the simulation is a program and has no callers."""
    for found in pkgutil.iter_modules(statistics.__path__):
        if not found.ispkg:
            module = import_module(f"{statistics.__name__}.{found.name}")
            own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
            yield from (value for value in own if isfunction(value) and not value.__name__.startswith("_"))


def test_every_public_function_of_statistics_has_an_example() -> None:
    functions = list(public_statistics())
    assert len(functions) > 25
    assert [function for function in functions if ">>> " not in (function.__doc__ or "")] == []


@pytest.mark.parametrize("package", ["mmpkd.attribution", "mmpkd.losses", "mmpkd.metrics"])
def test_every_public_class_has_an_example(package: str) -> None:
    module = import_module(package)
    exported = [getattr(module, name) for name in module.__all__]
    classes = [value for value in exported if isclass(value)]
    assert classes
    assert [kind.__name__ for kind in classes if ">>> " not in (kind.__doc__ or "")] == []
