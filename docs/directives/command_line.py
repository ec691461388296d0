"""The commands: `{command-help}` writes all of them, each from its own parser."""

import argparse
from collections.abc import Iterator
from contextlib import suppress
from unittest.mock import patch

from docutils import nodes
from docutils.parsers.rst import Directive

from directives.entries import definitions, paragraph, section
from mmpkd.commands.main import COMMANDS, LIGHTNING_COMMANDS, main


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a command: the one that is asked to print the command's help.

    Args:
        name: Name of the command.
    """
    found: list[argparse.ArgumentParser] = []
    with (
        patch.object(argparse.ArgumentParser, "print_help", lambda parser, *_: found.append(parser)),
        suppress(SystemExit),
    ):
        main([name, "--help"])
    return found[0]


class CommandHelp(Directive):
    """Writes a section for each command."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return [_command(command_parser(name)) for name in COMMANDS]


def _command(parser: argparse.ArgumentParser) -> nodes.section:
    title = parser.prog.replace(" [options]", "")
    options = list(_options(parser))
    usage = _usage(parser, title)
    content: list[nodes.Node] = [nodes.literal_block(usage, usage, language="text")]
    content += [paragraph(text) for text in (parser.description, parser.epilog) if text]
    content += [definitions(options)] if options else []
    content += [_command(sub) for sub in _subcommands(parser)]
    return section(title, title, *content)


def _usage(parser: argparse.ArgumentParser, title: str) -> str:
    """Return the line to type; that of a Lightning command would name hundreds of keys."""
    if title.split()[-1] in LIGHTNING_COMMANDS:
        return f"{title} --config FILE [--key=value ...]"
    return parser.format_usage().removeprefix("usage: ").strip()


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, str]]:
    """Yield the options of the command itself: settings with a dot are keys of YAML files, which have pages of their own."""
    formatter = parser._get_formatter()
    for action in parser._actions:
        is_other = isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
        if not is_other and "." not in action.dest:
            about = formatter._expand_help(action) if action.help else ""
            yield _name(action), _default(action), about.split("\n\n")[0]


def _name(action: argparse.Action) -> str:
    shown = action.metavar if isinstance(action.metavar, str) else None
    value = shown or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    if not action.option_strings:
        return shown or action.dest
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}".replace(" \b", ""))


def _default(action: argparse.Action) -> str:
    is_told = "default" in (action.help or "") or action.default in (None, False, argparse.SUPPRESS)
    return "" if is_told or not action.option_strings else f"default {action.default}"


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()
