"""Short names of our classes: `TextEncoder` instead of `mmpkd.teachers.TextEncoder`.

jsonargparse finds a class by its name only if its module is imported. The `__init__` files of our packages say which module that
is. They are parsed, not executed, so a command imports only the modules that its configuration needs.
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
    """Return the module of each public class of our packages, by the name of the class."""
    files = [file for package in _PACKAGES for file in (_ROOT / package).rglob("__init__.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    imports = [
        node for node in nodes if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in _PACKAGES
    ]
    return {alias.name: str(node.module) for node in imports for alias in node.names if _is_class(alias.name)}


def _is_class(name: str) -> bool:
    """Return whether a name could be the name of a class, not of a function, constant or module."""
    return name[:1].isupper() and name.isalnum()


def import_named(settings: object) -> None:
    """Import the modules of all classes that settings name by their short names. Other values are ignored.

    Args:
        settings: Content of a configuration file or a flag: a mapping, a list or a single value.
    """
    # most values are not class names, and do not need the index
    if isinstance(settings, str) and _is_class(settings) and settings in class_modules():
        import_module(class_modules()[settings])
    elif isinstance(settings, dict):
        import_named(list(settings.values()))
    elif isinstance(settings, list):
        for value in settings:
            import_named(value)


def import_all() -> None:
    """Import every class that has a short name, so that the help can list them."""
    for module in class_modules().values():
        import_module(module)


@cache
def take_short_names() -> None:
    """Make jsonargparse accept short names in configuration files and flags."""
    set_loader("yaml", _load, (yaml.YAMLError,))


def _load(text: str) -> Any:
    settings = _load_yaml(text)
    import_named(settings)
    return settings
