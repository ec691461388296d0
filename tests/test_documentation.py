"""The documentation names things that exist, and shows how to use them."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path
from typing import Any

import pytest
import torch

from mmpkd import statistics
from mmpkd.students.output import ModelOutput
from tests.documented import PAGES, REPOSITORY


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?", page.read_text()):
        file = REPOSITORY / path
        assert file.exists(), path
        assert not name or f"\ndef {name}(" in file.read_text(), f"{path}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, section in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not section or section in _anchors(linked.read_text()), f"{target}#{section}"


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"`((?:mmpkd|data_modules|experiments|benchmarks)/[\w./]+)`", page.read_text())
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_the_map_of_the_packages_is_complete() -> None:
    text = (REPOSITORY / "docs" / "design.md").read_text()
    found: set[str] = set()
    named: set[str] = set()
    for root, end in (("data_modules", "    mmpkd/"), ("mmpkd", "    experiments/")):
        found |= {path.parent.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / root).rglob("*/__init__.py")}
        lines = text.partition(f"\n    {root}/\n")[2].partition(f"\n{end}")[0].splitlines()
        starts = [re.match(r"^ {6}((?:[\w/]+(?:\.py|/) ?)+)", line) for line in lines]
        named |= {f"{root}/{name}" for start in starts if start for name in start.group(1).split()}
    assert {name for name in named if not (REPOSITORY / name).exists()} == set()
    # a package of packages is named by those
    assert [name for name in sorted(found) if not any(own.startswith(f"{name}/") for own in named)] == []


def test_the_parts_that_contributing_shows_work() -> None:
    (block,) = re.findall(
        r"^```python\n(.*?)^```", (REPOSITORY / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL
    )
    parts: dict[str, Any] = {}
    exec(block, parts)
    student = ModelOutput(logits=torch.tensor([[1.0, 2.0]]), features=torch.zeros(1, 1))
    teacher = ModelOutput(logits=torch.tensor([[2.0, 5.0]]), features=torch.zeros(1, 1))
    assert parts["LogitMAE"]()(student, teacher, torch.tensor([True])).item() == 2.0
    image = torch.zeros(1, 1, 16, 8)
    image[:, :, 8:] = 1.0
    heatmap = parts["BrightPatches"]()(torch.nn.Identity(), image)
    torch.testing.assert_close(heatmap, torch.tensor([[[1.0], [torch.e]]]))
    score = parts["InsideMean"]()
    score.update(heatmap, torch.tensor([[[True], [False]]]))
    assert score.compute().item() == 0.0  # the scaled map is 0 in the first patch


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
