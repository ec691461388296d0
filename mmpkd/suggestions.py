"""Command-line errors that suggest what was meant."""

import difflib
import inspect
import re
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from data_modules.base import PrivilegedDataModule
from mmpkd.losses import DistillationLoss
from mmpkd.modules import ClassificationModule
from mmpkd.teachers import PrivilegedEncoder

_UNKNOWN = re.compile(
    r"[Oo]ption '([\w.]+)'|[Kk]ey '([\w.]+)'|arguments?: --([\w.]+)|'([\w.]+)' is not (?:accepted|expected)"
)


class SuggestingParser(LightningArgumentParser):
    """Adds the nearest known names to the message about an unknown option."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and a suggestion, and exit with 2."""
        super().error(message + suggestion(message, known_names(self)), ex)
        raise AssertionError("jsonargparse's error never returns")


def suggestion(message: str, names: set[str]) -> str:
    """Return ` Did you mean ...?` for the unknown option that a message is about, or an empty string."""
    found = _UNKNOWN.search(message)
    if found is None:
        return ""
    unknown = next(group for group in found.groups() if group).split(".")[-1]
    near = [name for name in difflib.get_close_matches(unknown, sorted(names), n=2, cutoff=0.7) if name != unknown]
    return f"\nDid you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def known_names(parser: LightningArgumentParser) -> set[str]:
    """Return the last parts of all options, and the arguments of all classes that a configuration can name."""
    names = {action.dest.split(".")[-1] for action in parser._actions}
    for base in (ClassificationModule, PrivilegedDataModule, PrivilegedEncoder, DistillationLoss):
        for kind in _subclasses(base):
            names.update(inspect.signature(kind).parameters)
    return names


def _subclasses(kind: type[Any]) -> list[type[Any]]:
    children = [child for direct in kind.__subclasses__() for child in _subclasses(direct)]
    return [kind, *children]
