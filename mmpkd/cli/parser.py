"""The parser of Lightning's commands and of data modules, with short class names and one-line errors with suggestions."""

import os
import re
import sys
from argparse import Action
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import DefaultHelpFormatter, Namespace
from lightning.pytorch.cli import LightningArgumentParser

from mmpkd.cli.class_names import import_all, import_named, take_short_names
from mmpkd.cli.error_lines import is_debug
from mmpkd.cli.short_forms import written_out
from mmpkd.cli.suggestions import bug_in_module, condensed, described_bug, known_names, suggestion
from mmpkd.cli.yaml_file import read_settings, without_base

_KNOWN_CLASSES = re.compile(r"known subclasses: [\w., ]+")


class ShortNames(DefaultHelpFormatter):  # type: ignore[misc]  # jsonargparse is untyped for us
    """Help formatter that lists classes by their short names."""

    def _expand_help(self, action: Action) -> str:
        text: str = super()._expand_help(action)
        return _KNOWN_CLASSES.sub(lambda known: re.sub(r"(\w+\.)+(?=\w)", "", known[0]), text)


class SuggestingParser(LightningArgumentParser):
    """A parser whose error messages are one line and suggest the nearest known names.

    Options cannot be abbreviated, because an abbreviation changes its meaning as soon as another option starts with it. Our
    classes can be named without their module.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        take_short_names()
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": ShortNames, **kwargs})

    def format_help(self) -> str:
        """Return the help, which lists all of our classes."""
        import_all()
        text: str = super().format_help()
        return text

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any) -> Namespace:
        """Parse arguments; see jsonargparse."""
        # jsonargparse looks up `--data.help NAME` without loading it as YAML
        given = None if args is None else written_out(args)
        import_named([arg.rpartition("=")[2] for arg in given or ()])
        return super().parse_args(given, *more, **kwargs)

    def parse_path(self, cfg_path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration file.

        Raises:
            ValueError: If it is no YAML, or empty. The message names the file, which that of jsonargparse does not.
        """
        path = Path(os.fspath(cfg_path))
        if path.is_file():
            read_settings(path)
        return super().parse_path(cfg_path, *args, **kwargs)

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Namespace:
        """Parse settings without their `base`, which `written_out` has added to the arguments."""
        return super().parse_string(without_base(content), *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and a suggestion, or the place of an error in the user's own code, and exit with status 2.

        Raises:
            Exception: The original error, with `--debug`.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        bug = bug_in_module(message)
        error = bug or ex
        if is_debug() and error is not None:
            raise error
        # names to suggest are those of the subcommand, whose errors the outer parser reports
        parser = getattr(ex, "subcommand_parser", None) or self
        command = parser.prog.replace(" [options]", "")
        if bug is not None:
            sys.stderr.write(f"{command}: {described_bug(bug)}\n")
            sys.exit(2)
        hint = suggestion(message, known_names(parser))
        sys.stderr.write(f"{command}: {condensed(message)}{hint} See `{command} --help`.\n")
        sys.exit(2)
