"""Parts of a study file, parsed into dataclasses by jsonargparse."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from data_modules.suggestion import did_you_mean
from mmpkd.study.plan.errors import StudyError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Part = TypeVar("Part", bound=DataclassInstance)

# types in the words of people who write YAML
_IN_WORDS: Mapping[object, str] = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    tuple[str, ...]: "a list of text",
    tuple[int, ...]: "a list of integers",
    tuple[Path, ...]: "a path or a list of paths",
    Mapping[str, Mapping[str, str]]: "a mapping of domains to mappings of forms to arms",
}


@contextmanager
def at(where: str) -> Iterator[None]:
    """Prefix errors with the place in the study file where they occurred."""
    try:
        yield
    except StudyError as error:
        what = str(error)
        raise StudyError(f"{where}: {what[:1].lower()}{what[1:]}") from error


def parsed(kind: "type[Part]", values: Mapping[str, object], **given: object) -> "Part":
    """Parse a part of a study file.

    Args:
        kind: Dataclass of the part.
        values: Content of the part; its keys are fields of the dataclass.
        given: Fields that are known already and may not be keys.

    Raises:
        StudyError: If a key is unknown or missing, or if a value has the wrong type or is not allowed.
    """
    names = check_keys(kind, values, given)
    missing = [own.name for own in fields(kind) if own.name in names and own.default is MISSING]
    missing = [name for name in missing if name not in values]
    if missing:
        raise StudyError(f"Expected the keys {', '.join(missing)} but they are missing.")
    hints = get_type_hints(kind)
    return kind(**{key: _value(key, value, hints[key]) for key, value in values.items()}, **given)


def check_keys(kind: "type[Part]", keys: Iterable[str], given: Iterable[str] = ()) -> list[str]:
    """Check that keys are fields of a dataclass, and return the allowed keys.

    Args:
        kind: The dataclass.
        keys: Keys to check.
        given: Fields that may not be keys.

    Raises:
        StudyError: If a key is unknown.
    """
    names = [own.name for own in fields(kind) if own.name not in given]
    for key in keys:
        if key not in names:
            raise StudyError(f"Unknown key {key!r}.{did_you_mean(key, names)} Known: {', '.join(names)}.")
    return names


def mapping(entry: object) -> dict[str, Any]:
    """Return a mapping from a study file after checking that it is one and not empty.

    Raises:
        StudyError: If it is something else.
    """
    if not isinstance(entry, Mapping) or not entry:
        raise StudyError(f"Expected a mapping (key: value) but got {entry!r}.")
    # YAML reads a key such as 2024 as a number
    return {str(key): value for key, value in entry.items()}


def _value(key: str, value: object, hint: Any) -> Any:
    # jsonargparse takes null for every type, since that is its default
    is_null = value is None and NoneType not in get_args(hint)
    if is_null or (isinstance(value, str) and not value.strip()):
        raise StudyError(f"Expected `{key}` to be {_in_words(hint)} but it is empty.")
    # jsonargparse converts as on the command line: lists to tuples, text to paths
    parser = ArgumentParser(exit_on_error=False, default_env=False)
    parser.add_argument(f"--{key}", type=hint)
    try:
        return parser.parse_object({key: value})[key]
    except ArgumentError as error:
        raise StudyError(f"Expected `{key}` to be {_in_words(hint)} but got {value!r}.") from error


def _in_words(hint: Any) -> str:
    """Describe a type to people who write YAML."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) is tuple and get_origin(get_args(hint)[0]) is Literal:
        return f"a list of {', '.join(get_args(get_args(hint)[0]))}"
    # optional: people leave the key out rather than write null
    if NoneType in get_args(hint):
        return _in_words(get_args(hint)[0])
    return _IN_WORDS[hint]
