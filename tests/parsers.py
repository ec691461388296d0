"""The parsers of Lightning's commands, as the command line builds them, without a run."""

from functools import cache
from typing import NoReturn
from unittest.mock import patch

from mmpkd.cli.lightning_cli import MMPKDCLI, main
from mmpkd.cli.parser import SuggestingParser


class _ParserIsBuilt(Exception):  # noqa: N818  no error
    """Stops the command line once it has a parser."""


@cache
def command_parser(command: str) -> SuggestingParser:
    """Return the parser of `mmpkd` for one command; its arguments begin with the name of the command."""
    built: list[SuggestingParser] = []

    def stop(self: MMPKDCLI, parser: SuggestingParser, args: object) -> NoReturn:
        del self, args
        built.append(parser)
        raise _ParserIsBuilt

    with patch.object(MMPKDCLI, "parse_arguments", stop):
        try:
            main([command])
        except _ParserIsBuilt:
            return built[0]
    raise AssertionError(f"'{command}' has built no parser")
