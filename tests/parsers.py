"""The parsers of all commands, as the command line builds them, without what the commands do."""

import argparse
import shlex
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import import_module
from io import StringIO
from typing import Any, NoReturn
from unittest.mock import patch

from mmpkd.cli.data_config import load_data_module
from mmpkd.cli.lightning_cli import MMPKDCLI
from mmpkd.cli.lightning_cli import main as lightning
from mmpkd.commands.main import LIGHTNING_COMMANDS, OWN_COMMANDS


class _ParsersAreBuilt(Exception):  # noqa: N818  no error
    """Stops the command line once it has parsers."""


@cache
def command_line(command: str) -> MMPKDCLI:
    """Return the command line of one of Lightning's commands; arguments of its `parser` begin with the name of the command."""
    built: list[MMPKDCLI] = []

    def stop(self: MMPKDCLI, *_: object) -> NoReturn:
        built.append(self)
        raise _ParsersAreBuilt

    with patch.object(MMPKDCLI, "parse_arguments", stop), suppress(_ParsersAreBuilt):
        lightning([command])
    return built[0]


@cache
def check_command(words: tuple[str, ...]) -> None:
    """Parse the words of a command after `mmpkd`, and the flags that it hands on, by the parsers that a user meets.

    Raises:
        SystemExit: With 2, if the command is refused.
    """
    command, *arguments = words
    if command in LIGHTNING_COMMANDS:
        # with all defaults it takes three times as long; a link needs that of the seed
        command_line(command).parser.parse_args([command, "--seed_everything=0", *arguments], defaults=False)
    elif command == "study":
        _check_study(arguments)
    else:
        options, flags = _parsed(command, arguments)
        config = getattr(options, "config", None)
        if config is not None and config.is_file():
            load_data_module(config, flags)


def _parsed(command: str, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of one of our own commands, and the flags of the data module that it does not know."""
    parse = argparse.ArgumentParser.parse_known_args
    parsed: list[tuple[argparse.Namespace, list[str]]] = []

    def record(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> tuple[argparse.Namespace, list[str]]:
        parsed.append(parse(self, *args, **kwargs))
        return parsed[-1]

    with (
        patch.object(argparse.ArgumentParser, "parse_known_args", record),
        patch("mmpkd.commands.command.run_with_error_line", return_value=0),
    ):
        import_module(OWN_COMMANDS[command]).main(arguments)
    return parsed[-1]


def _check_study(arguments: Sequence[str]) -> None:
    """Plan a study; with flags for its runs, parse those of the first and the last one."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    printed = StringIO()
    with redirect_stdout(printed):
        # in its own folder it may have been run before, with other settings
        only = ["--dry-run", "--out", "no-such-folder"]
        status = import_module(OWN_COMMANDS["study"]).main([*arguments[:end], *only, *arguments[end:]])
    assert status == 0
    runs = [line.partition(" mmpkd ")[2] for line in printed.getvalue().splitlines() if " mmpkd " in line]
    if arguments[end + 1 :]:
        for run in {runs[0], runs[-1]}:
            check_command(tuple(shlex.split(run)))
