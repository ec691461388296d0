"""Common parts of all commands: parsing of arguments, and exit status after errors and Ctrl-C."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from stat import S_ISDIR
from typing import Any, NoReturn

from data_modules.suggestion import did_you_mean
from mmpkd.cli.error_lines import run_with_error_line, take_debug
from mmpkd.cli.terminal import start_logging

Run = Callable[[argparse.Namespace, Sequence[str]], int]
_UNKNOWN = re.compile(r"unrecognized arguments: (-[\w-]*)")


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line that suggests the nearest options.

    Options cannot be abbreviated, because an abbreviation changes its meaning as soon as another option starts with it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    @property
    def options(self) -> list[str]:
        """Long names of all options, also of subcommands."""
        found = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        for action in self._actions:
            commands = action.choices.values() if isinstance(action.choices, dict) else ()
            for command in commands:
                found += command.options if isinstance(command, CommandParser) else []
        return found

    def is_abbreviation(self, flag: str) -> bool:
        """Return whether an argument is the beginning of an option's name."""
        name = flag.partition("=")[0]
        is_long = name.startswith("--") and name != "--"
        return is_long and any(option.startswith(name) and option != name for option in self.options)

    def error(self, message: str) -> NoReturn:
        """Print the message and a suggestion, and exit with status 2."""
        unknown = _UNKNOWN.match(message)
        hint = did_you_mean(unknown[1], {*self.options} - {unknown[1]}) if unknown else ""
        sys.stderr.write(f"{self.prog}: {message}.{hint} See `{self.prog} --help`.\n")
        sys.exit(2)


def run_command(parser: CommandParser, argv: Sequence[str], run: Run, takes_data_flags: bool = True) -> int:
    """Parse arguments and run a command.

    Args:
        parser: Parser of the command.
        argv: Arguments after the command's name. With `--debug`, every error has its traceback.
        run: The command. It gets the parsed arguments, and those that the parser does not know.
        takes_data_flags: Whether to allow unknown arguments, which are flags of the data module (--data.root=/data/mimic).

    Returns:
        Exit status of `run`; 1 after an error that the user can fix (see `user_error`); 130 after Ctrl-C.

    Raises:
        SystemExit: With status 2 for wrong arguments, with 0 after `--help`.
    """
    args, is_debug = take_debug(argv)
    options, overrides = parser.parse_known_args(args)
    # flags of the data module are not at fault
    unknown = [word for word in overrides if parser.is_abbreviation(word)] if takes_data_flags else overrides
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    start_logging()
    try:
        return run_with_error_line(parser.prog, is_debug, lambda: run(options, overrides), status=1)
    except KeyboardInterrupt:
        return 130


def new_folder(text: str) -> Path:
    """Return the path of an output folder.

    Raises:
        ArgumentTypeError: If the path is empty, which would be the working directory, or leads to a file or nowhere.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a folder but got an empty path")
    path = Path(text)
    try:
        is_folder = S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return path  # it is going to be created
    except OSError as error:  # for example a link that leads back to itself
        raise argparse.ArgumentTypeError(f"expected a folder but got '{text}': {error.strerror}") from error
    if not is_folder:
        raise argparse.ArgumentTypeError(f"expected a folder but '{text}' is a file")
    return path


def at_least(least: int) -> Callable[[str], int]:
    """Return the argument type of an integer >= `least`."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a number of at least {least} but got {value}")
        return value

    return number
