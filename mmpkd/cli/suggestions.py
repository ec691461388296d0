"""Command-line errors in one line, with suggestions."""

import importlib
import inspect
import re
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser

from data_modules.splits import SplitDataModule
from data_modules.suggestion import did_you_mean
from mmpkd.cli.class_names import class_modules
from mmpkd.cli.error_lines import place_in_users_code
from mmpkd.losses import DistillationLoss, Objective
from mmpkd.losses.multi_class import UNSUITABLE
from mmpkd.modules import ClassificationModule
from mmpkd.modules.optimizer import OptimizerSettings
from mmpkd.records.renamed_settings import present_name
from mmpkd.students import VisionTransformerStudent
from mmpkd.teachers import PrivilegedEncoder
from mmpkd.teachers.source import TeacherSource

_UNKNOWN = re.compile(
    r"[Oo]ption '([\w.]+)'|[Kk]ey '([\w.]+)'|arguments?: --([\w.]+)|'([\w.]+)' is not (?:accepted|expected)"
)
_MISSING_CLASS = re.compile(r"dot import path string: (\w+)$|module '[\w.]+' has no attribute '(\w+)'", re.MULTILINE)
# in condensed messages; jsonargparse also complains about the path if the value could have been one
_NO_CLASS = re.compile(
    r"(?:Expected a path but \S+ either not accessible or invalid - )?(?:Expected a dot import path string: (\w+)\.? ?)+"
    r"(?:Given value: \w+)?"
)
_CLASS = re.compile(r"class_path'?(?:=|: | )'([\w.]+)'|Given value: ([\w.]+)$", re.MULTILINE)
# options of Lightning's command line that would replace our schedule and weight decay groups
_REPLACED = {
    "optimizer": "The optimizer is AdamW: set --model.optimizer.lr, --model.optimizer.weight_decay, --model.optimizer.betas or "
    "--model.optimizer.layer_decay. To use another one, override configure_optimizers in your own class.",
    "lr_scheduler": "The schedule is a linear warm-up and a cosine decay: set --model.optimizer.lr and "
    "--model.optimizer.warmup_fraction. To use another one, override configure_optimizers in your own class.",
}
# what jsonargparse says of an option that a class does not have, or of a name in place of an object
_RENAMED = re.compile(
    r"class_path '([\w.]+)':\s+(?:Option '([\w.]+)' is not accepted|unrecognized arguments: --([\w.]+)|"
    r"Parser key \"(\w+)\":\s+- Expected a path)"
)
_PARTS_OF_MODULES = (VisionTransformerStudent, TeacherSource, Objective, OptimizerSettings)
# parts of jsonargparse's messages about the types that it tried and how it parsed a value
_NOISE = re.compile(
    r"\s*Does not validate against any of the Union subtypes\s*Subtypes: .*$|\s*Errors:\s*$|"
    r"\s*- Expected a <class 'NoneType'>|\s*Given value type: .*$|\s*Given value: (Nested|\[?\w*Namespace).*$|"
    r"\s*Subclass types expect one of:|\s*- a (class path|dict) [(w].*$|\s*- Not a valid subclass of .*$",
    re.MULTILINE,
)


def bug_in_module(message: str) -> Exception | None:
    """Return the error on importing the module of a class that a message names, or None if there is no such error."""
    for found in _CLASS.finditer(message):
        module = next(group for group in found.groups() if group).rpartition(".")[0]
        try:
            if module:
                importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                return error  # the module exists, but one that it imports is missing
        except Exception as error:  # the user's own code may raise anything
            return error
    return None


def described_bug(bug: Exception) -> str:
    """Return one line that says why a module cannot be imported, and where."""
    place = place_in_users_code(bug)
    where = f" ({place})" if place else ""
    text = " ".join(str(bug).split())
    return f"Expected to import the module of a class but got {type(bug).__name__}: {text}{where}. See --debug."


def condensed(message: str) -> str:
    """Return a message of jsonargparse in one line, without its details about types."""
    text = re.sub(r"<class '([\w.]+)'>", r"\1", _NOISE.sub("", message))
    text = re.sub(r"Parser key \"([\w.]+)\":", r"\1:", text)
    text = " ".join(re.sub(r"(^|:)\s*- ", r"\1 ", text, flags=re.MULTILINE).split()).rstrip(".")
    return _NO_CLASS.sub(r"Expected the name of a class, or its import path, but got '\1'", text) + "."


def suggestion(message: str, names: set[str]) -> str:
    """Return ` Did you mean ...?` for the unknown option or class that a message is about, or an empty string."""
    renamed = _present_name_in(message)
    if renamed is not None:
        return f" Did you mean --{renamed}?"
    missing = _MISSING_CLASS.search(message)
    if missing is not None:
        name = next(group for group in missing.groups() if group)
        return _class_hint(name)
    found = _UNKNOWN.search(message)
    if found is None:
        return ""
    option = next(group for group in found.groups() if group)
    if option.split(".")[0] in _REPLACED and "class_path" not in message.partition(option)[0]:
        return f" {_REPLACED[option.split('.')[0]]}"
    parts = option.split(".")
    unknown = next((part for part in parts if part not in names), parts[-1])
    elsewhere = {unknown}  # the name is known, but not at this place
    return did_you_mean(unknown, {name for name in names if name.isidentifier()} - elsewhere)


def _present_name_in(message: str) -> str | None:
    """Return the current name of the old option that a message is about, or None if it was never an option."""
    for found in _RENAMED.finditer(message):
        class_path, *options = found.groups()
        name = present_name(class_path, next(option for option in options if option))
        if name is not None:
            return name
    return None


def _class_hint(name: str) -> str:
    if name in UNSUITABLE:
        return f" {UNSUITABLE[name]}"
    if name in class_modules():
        return f" {class_modules()[name]}.{name} is not allowed here."
    callbacks = {kind.__name__ for kind in _subclasses(Callback)}
    return did_you_mean(name, {*class_modules(), *callbacks} - {name})


def known_names(parser: LightningArgumentParser) -> set[str]:
    """Return the parts of all option names, and the arguments of all classes that a configuration can name."""
    names = {part for action in parser._actions for part in action.dest.split(".")}
    for base in (*_PARTS_OF_MODULES, ClassificationModule, SplitDataModule, PrivilegedEncoder, DistillationLoss):
        for kind in _subclasses(base):
            names.update(inspect.signature(kind).parameters)
    return names


def _subclasses(kind: type[Any]) -> list[type[Any]]:
    children = [child for direct in kind.__subclasses__() for child in _subclasses(direct)]
    return [kind, *children]
