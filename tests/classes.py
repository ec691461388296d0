"""All of our classes of a kind, so that a test of each of them fails if one is added that it leaves out."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import data_modules
import mmpkd


@cache
def concrete(base: type[Any]) -> tuple[type[Any], ...]:
    """Return our classes of a kind that are not abstract, by name."""
    _import_everything()
    ours = [kind for kind in {*_subclasses(base)} if kind.__module__.split(".")[0] in ("data_modules", "mmpkd")]
    return tuple(sorted((kind for kind in ours if not inspect.isabstract(kind)), key=lambda kind: kind.__name__))


def exported(package: ModuleType, base: type[Any]) -> list[type[Any]]:
    """Return the classes of a kind that a package exports and that are not abstract, by name; this imports nothing else."""
    kinds = [value for _, value in sorted(vars(package).items()) if isinstance(value, type) and issubclass(value, base)]
    return [kind for kind in kinds if not inspect.isabstract(kind)]


@cache
def _import_everything() -> None:
    """Import all of our modules but those that do something when they are imported."""
    for package in (data_modules, mmpkd):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name != "mmpkd.commands.processes.preload" and not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _subclasses(kind)
