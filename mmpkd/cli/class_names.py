"""Short names of our classes: `TextEncoder` in place of `mmpkd.teachers.TextEncoder`.

jsonargparse knows a class by its name alone once its module is imported. Which module that is stands in the `__init__` files
of our packages. They are read and not run, so that a command imports what its configuration names and nothing else.
"""

import ast
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

_PACKAGES = ("data_modules", "mmpkd")
_ROOT = Path(__file__).parents[2]
_load_yaml = get_loader("yaml")


@cache
def class_modules() -> Mapping[str, str]:
    """Return the module of each class that one of our packages offers, by the name of the class."""
    files = [file for package in _PACKAGES for file in (_ROOT / package).rglob("__init__.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    imports = [
        node for node in nodes if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in _PACKAGES
    ]
    return {alias.name: str(node.module) for node in imports for alias in node.names if _is_class(alias.name)}


def _is_class(name: str) -> bool:
    """Return whether a name could be one of a class; others are functions, constants and modules."""
    return name[:1].isupper() and name.isalnum()


def import_named(settings: object) -> None:
    """Import the modules of our classes that settings name by their short names; other values are left alone.

    Args:
        settings: What a configuration file or a flag holds: a mapping, a list or a single value.
    """
    # most settings are no names of classes, and then the index is not needed
    if isinstance(settings, str) and _is_class(settings) and settings in class_modules():
        import_module(class_modules()[settings])
    elif isinstance(settings, dict):
        import_named(list(settings.values()))
    elif isinstance(settings, list):
        for value in settings:
            import_named(value)


def import_all() -> None:
    """Import every class that has a short name, to list them."""
    for module in class_modules().values():
        import_module(module)


@cache
def take_short_names() -> None:
    """Let parsers of jsonargparse take short names in configuration files and flags."""
    set_loader("yaml", _load, (yaml.YAMLError,))


def _load(text: str) -> Any:
    settings = _load_yaml(text)
    import_named(settings)
    return settings
