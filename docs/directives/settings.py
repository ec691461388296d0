"""Keys of YAML files: `{settings}` writes those of a class, `{settings-of-kind}` those of every class of a kind."""

import argparse
import re
from functools import cache
from inspect import getdoc, isabstract
from pkgutil import resolve_name
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from docutils import nodes
from docutils.parsers.rst import Directive

from directives.entries import definitions, paragraph, section
from mmpkd.cli.class_names import class_modules, import_all
from mmpkd.cli.parser import SuggestingParser

_MODULES = re.compile(r"\b(?:\w+\.)+(?=\w)")


def keys(kind: type, prefix: str = "") -> list[tuple[str, str, str]]:
    """Return the keys that a class has in a YAML file, with type, default and meaning, as the command line's parser knows them.

    Args:
        kind: The class.
        prefix: What stands before each key.
    """
    parser = SuggestingParser(exit_on_error=False)
    parser.add_class_arguments(kind, None)
    return [_key(action, prefix) for action in parser._actions if _is_key(action)]


def _is_key(action: argparse.Action) -> bool:
    """Return whether an action is a key, and not the help that jsonargparse adds for classes."""
    return hasattr(action, "_typehint") and action.default is not argparse.SUPPRESS


def _key(action: argparse.Action, prefix: str) -> tuple[str, str, str]:
    needed = "needed" if action.required else f"default {_shown(action.default)}"
    return prefix + action.dest, f"{type_name(action._typehint)}; {needed}", action.help or ""  # type: ignore[attr-defined]


def type_name(hint: Any) -> str:
    """Return a type as it is read: values that can be chosen, and names without their modules."""
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if len(get_args(hint)) == 2 and NoneType in get_args(hint):
        return f"{type_name(get_args(hint)[0])} or none"
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return _MODULES.sub("", text)


def _shown(default: object) -> str:
    return "none" if default is None else str(default)


@cache
def classes_of(base: type) -> tuple[type, ...]:
    """Return the classes of a kind that a YAML file can name, by their names."""
    import_all()
    offered = [getattr(__import__(module, fromlist=[name]), name) for name, module in class_modules().items()]
    found = {kind for kind in offered if isinstance(kind, type) and issubclass(kind, base) and not isabstract(kind)}
    return tuple(sorted(found - {base}, key=lambda kind: kind.__name__))


class Settings(Directive):
    """Writes the keys of one class; the second argument stands before each key."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        prefix = self.arguments[1] if len(self.arguments) > 1 else ""
        return [definitions(keys(resolve_name(self.arguments[0]), prefix))]


class SettingsOfKind(Directive):
    """Writes a section for each class of a kind."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return [self._section(kind) for kind in classes_of(resolve_name(self.arguments[0]))]

    def _section(self, kind: type) -> nodes.section:
        about = (getdoc(kind) or "").split("\n\n")[0]
        found = keys(kind)
        listed = definitions(found) if found else paragraph("No keys.")
        return section(kind.__name__, f"settings-{kind.__name__}", paragraph(about), listed)
