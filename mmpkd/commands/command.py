"""What all commands share: how arguments are parsed, and how errors and Ctrl-C end them."""

import argparse
import sys
from collections.abc import Callable, Sequence

from mmpkd.terminal import start_logging

Run = Callable[[argparse.Namespace, Sequence[str]], int]


def run_command(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    run: Run,
    takes_data_flags: bool = True,
    errors: tuple[type[Exception], ...] = (OSError, ValueError),
) -> int:
    """Parse arguments and run a command.

    Args:
        parser: Parser of the command.
        argv: Arguments after the command's name.
        run: The command. It gets the parsed arguments, and those that the parser does not know.
        takes_data_flags: Whether there may be unknown arguments: flags of the data module, such as --data.root=/data/mimic.
        errors: What a user can cause; it is printed as one line, without a traceback.

    Returns:
        Exit status: that of `run`, 1 after an error, 130 after Ctrl-C.

    Raises:
        SystemExit: With 2 for wrong arguments, with 0 after `--help`.
    """
    options, overrides = parser.parse_known_args(list(argv))
    if overrides and not takes_data_flags:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    start_logging()
    try:
        return run(options, overrides)
    except KeyboardInterrupt:
        return 130
    except errors as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
