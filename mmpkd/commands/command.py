"""Common parts of all commands: parsing of arguments, and exit status after errors and Ctrl-C."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from stat import S_ISDIR

from mmpkd.cli.error_lines import run_with_error_line, take_debug
from mmpkd.cli.terminal import start_logging

Run = Callable[[argparse.Namespace, Sequence[str]], int]


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str], run: Run, takes_data_flags: bool = True) -> int:
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
    if overrides and not takes_data_flags:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
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
