"""Command-line errors in one line, which suggest what was meant."""

import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from data_modules.base import PrivilegedDataModule
from mmpkd.cli.error_lines import is_debug, place_in_users_code
from mmpkd.cli.renamed_options import present_name_in
from mmpkd.cli.short_forms import written_out
from mmpkd.cli.yaml_file import read_settings, without_base
from mmpkd.losses import DistillationLoss, Objective
from mmpkd.modules import ClassificationModule
from mmpkd.modules.optimizer import OptimizerSettings
from mmpkd.students import VisionTransformerStudent
from mmpkd.teachers import PrivilegedEncoder
from mmpkd.teachers.source import TeacherSource

_UNKNOWN = re.compile(
    r"[Oo]ption '([\w.]+)'|[Kk]ey '([\w.]+)'|arguments?: --([\w.]+)|'([\w.]+)' is not (?:accepted|expected)"
)
_CLASS = re.compile(r"class_path'?(?:=|: | )'([\w.]+)'|Given value: ([\w.]+)$", re.MULTILINE)
# options of Lightning's command line that would replace the schedule and the groups of weight decay
_REPLACED = {
    "optimizer": "The optimizer is AdamW: set --model.optimizer.lr, --model.optimizer.weight_decay, --model.optimizer.betas or "
    "--model.optimizer.layer_decay. For another one, override configure_optimizers in a class of your own.",
    "lr_scheduler": "The learning rate rises linearly and falls as a cosine: set --model.optimizer.lr and "
    "--model.optimizer.warmup_fraction. For another schedule, override configure_optimizers in a class of your own.",
}
_PARTS_OF_MODULES = (VisionTransformerStudent, TeacherSource, Objective, OptimizerSettings)
# what jsonargparse says of the types that it tried, and of how it read a value
_NOISE = re.compile(
    r"\s*Does not validate against any of the Union subtypes\s*Subtypes: .*$|\s*Errors:\s*$|"
    r"\s*- Expected a <class 'NoneType'>|\s*Given value type: .*$|\s*Given value: (Nested|\w*Namespace).*$|"
    r"\s*Subclass types expect one of:|\s*- a (class path|dict) [(w].*$|\s*- Not a valid subclass of .*$",
    re.MULTILINE,
)


class SuggestingParser(LightningArgumentParser):
    """A parser that says in one line what is wrong, and adds the nearest known names to it.

    Options cannot be shortened: a short form would mean something else as soon as another option begins like it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any) -> Namespace:
        """Parse arguments, some of which are short for others."""
        return super().parse_args(None if args is None else written_out(args), *more, **kwargs)

    def parse_path(self, cfg_path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration file.

        Raises:
            ValueError: If it is no YAML, or empty; jsonargparse would not name the file.
        """
        path = Path(os.fspath(cfg_path))
        if path.is_file():
            read_settings(path)
        return super().parse_path(cfg_path, *args, **kwargs)

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Namespace:
        """Parse settings; the file that they add to is one of the arguments."""
        return super().parse_string(without_base(content), *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and a suggestion, or where the user's own code has failed, and exit with 2.

        Raises:
            Exception: What was wrong, with `--debug`.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        bug = bug_in_module(message)
        error = bug or ex
        if is_debug() and error is not None:
            raise error
        parser = getattr(ex, "subcommand_parser", None) or self
        command = parser.prog.replace(" [options]", "")
        if bug is not None:
            sys.stderr.write(f"{command}: {_described(bug)}\n")
            sys.exit(2)
        hint = suggestion(message, known_names(parser))
        sys.stderr.write(f"{command}: {condensed(message)}{hint} See `{command} --help`.\n")
        sys.exit(2)


def bug_in_module(message: str) -> Exception | None:
    """Return why the module of a class that a message names cannot be imported, or None if it can, or there is none."""
    for found in _CLASS.finditer(message):
        module = next(group for group in found.groups() if group).rpartition(".")[0]
        try:
            if module:
                importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                return error  # something else that it needs is missing
        except Exception as error:  # whatever the user's own code may raise
            return error
    return None


def _described(bug: Exception) -> str:
    place = place_in_users_code(bug)
    where = f" ({place})" if place else ""
    text = " ".join(str(bug).split())
    return f"Expected to import the module of a class but got {type(bug).__name__}: {text}{where}. See --debug."


def condensed(message: str) -> str:
    """Return what jsonargparse says in one line, without what it says of types."""
    text = re.sub(r"<class '([\w.]+)'>", r"\1", _NOISE.sub("", message))
    text = re.sub(r"Parser key \"([\w.]+)\":", r"\1:", text)
    return " ".join(re.sub(r"(^|:)\s*- ", r"\1 ", text, flags=re.MULTILINE).split()).rstrip(".") + "."


def suggestion(message: str, names: set[str]) -> str:
    """Return ` Did you mean ...?` for the unknown option that a message is about, or an empty string."""
    renamed = present_name_in(message)
    if renamed is not None:
        return f" Did you mean --{renamed}?"
    found = _UNKNOWN.search(message)
    if found is None:
        return ""
    option = next(group for group in found.groups() if group)
    if option.split(".")[0] in _REPLACED and "class_path" not in message.partition(option)[0]:
        return f" {_REPLACED[option.split('.')[0]]}"
    parts = option.split(".")
    unknown = next((part for part in parts if part not in names), parts[-1])
    names = names - {unknown}  # known elsewhere
    longer = sorted((name for name in names if name.startswith(unknown) and name.isidentifier()), key=len)
    near = longer[:2] or difflib.get_close_matches(unknown, sorted(names), n=2, cutoff=0.7)
    return f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def known_names(parser: LightningArgumentParser) -> set[str]:
    """Return the parts of all options, and the arguments of all classes that a configuration can name."""
    names = {part for action in parser._actions for part in action.dest.split(".")}
    for base in (*_PARTS_OF_MODULES, ClassificationModule, PrivilegedDataModule, PrivilegedEncoder, DistillationLoss):
        for kind in _subclasses(base):
            names.update(inspect.signature(kind).parameters)
    return names


def _subclasses(kind: type[Any]) -> list[type[Any]]:
    children = [child for direct in kind.__subclasses__() for child in _subclasses(direct)]
    return [kind, *children]
