"""Directives that write the reference from the parsers themselves, so that it cannot be out of date."""

from typing import Any

from sphinx.application import Sphinx

from directives.command_line import CommandHelp
from directives.settings import Settings, SettingsOfKind


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("command-help", CommandHelp)
    app.add_directive("settings", Settings)
    app.add_directive("settings-of-kind", SettingsOfKind)
    return {"parallel_read_safe": True}
