"""What all commands share: how arguments are parsed, and how errors and Ctrl-C end them."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from mmpkd.cli.error_lines import run_with_error_line, take_debug
from mmpkd.cli.terminal import start_logging

Run = Callable[[argparse.Namespace, Sequence[str]], int]


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str], run: Run, takes_data_flags: bool = True) -> int:
    """Parse arguments and run a command.

    Args:
        parser: Parser of the command.
        argv: Arguments after the command's name; with `--debug` among them, every error has its traceback.
        run: The command. It gets the parsed arguments, and those that the parser does not know.
        takes_data_flags: Whether there may be unknown arguments: flags of the data module, such as --data.root=/data/mimic.

    Returns:
        Exit status: that of `run`, 1 after an error that the user can mend (see `user_error`), 130 after Ctrl-C.

    Raises:
        SystemExit: With 2 for wrong arguments, with 0 after `--help`.
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
    """Return the path of a folder that a command writes; an empty one would be the working directory.

    Raises:
        ArgumentTypeError: If it is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a folder but got an empty path")
    return Path(text)


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of a whole number that must not be smaller than `least`."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a number of at least {least} but got {value}")
        return value

    return number
