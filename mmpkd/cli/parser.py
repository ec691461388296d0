"""The parser of Lightning's commands and of data modules: short names of classes, and errors in one line that suggest a name."""

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
    """Lists known classes by their short names."""

    def _expand_help(self, action: Action) -> str:
        text: str = super()._expand_help(action)
        return _KNOWN_CLASSES.sub(lambda known: re.sub(r"(\w+\.)+(?=\w)", "", known[0]), text)


class SuggestingParser(LightningArgumentParser):
    """A parser that says in one line what is wrong, and adds the nearest known names to it.

    Options cannot be shortened: a short form would mean something else as soon as another option begins like it. Our classes
    can be named without their module.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        take_short_names()
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": ShortNames, **kwargs})

    def format_help(self) -> str:
        """Return the help, with all classes that we offer."""
        import_all()
        text: str = super().format_help()
        return text

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any) -> Namespace:
        """Parse arguments; see jsonargparse."""
        # `--data.help NAME` is looked up without being loaded
        given = None if args is None else written_out(args)
        import_named([arg.rpartition("=")[2] for arg in given or ()])
        return super().parse_args(given, *more, **kwargs)

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
            sys.stderr.write(f"{command}: {described_bug(bug)}\n")
            sys.exit(2)
        hint = suggestion(message, known_names(parser))
        sys.stderr.write(f"{command}: {condensed(message)}{hint} See `{command} --help`.\n")
        sys.exit(2)
