"""Lists of options as nodes of a page."""

import re
from collections.abc import Iterable

from docutils import nodes

_CODE = re.compile(r"`+([^`]+)`+")


def inline(text: str) -> list[nodes.Node]:
    """Return text as nodes; what stands between backticks is code."""
    found: list[nodes.Node] = []
    end = 0
    for match in _CODE.finditer(text):
        found += [nodes.Text(text[end : match.start()]), nodes.literal(match[1], match[1])]
        end = match.end()
    return [*found, nodes.Text(text[end:])]


def paragraph(text: str) -> nodes.paragraph:
    """Return a paragraph of text with code between backticks."""
    return nodes.paragraph("", "", *inline(" ".join(text.split())))


def definitions(entries: Iterable[tuple[str, str, str]]) -> nodes.definition_list:
    """Return a list of options.

    Args:
        entries: The option, what is said beside it (type and default), and what it does.
    """
    items = [_item(*entry) for entry in entries]
    return nodes.definition_list("", *items, classes=["options"])


def _item(name: str, beside: str, about: str) -> nodes.definition_list_item:
    term = nodes.term("", "", nodes.literal(name, name))
    if beside:
        term += [nodes.Text("  "), nodes.inline(beside, beside, classes=["beside"])]
    return nodes.definition_list_item("", term, nodes.definition("", paragraph(about)))


def section(title: str, name: str, *content: nodes.Node) -> nodes.section:
    """Return a section with a title.

    Args:
        title: Title.
        name: Anchor of the section.
        content: What stands in it.
    """
    return nodes.section("", nodes.title(title, title), *content, ids=[nodes.make_id(name)], names=[name])
