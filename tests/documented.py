"""The commands that README, documentation, experiments and `mmpkd init` tell users to type."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from mmpkd.commands.init import STARTS
from mmpkd.commands.main import USAGE

REPOSITORY = Path(__file__).parents[1]
_DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *_DOCS.glob("*.md"), *(_DOCS / "guides").glob("*.md")]
)
EXPERIMENTS = sorted((REPOSITORY / "experiments").rglob("*.yaml"))
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:# |    )?(?:python -m )?(mmpkd \S.*|make \S.*)$", re.MULTILINE)
_IN_PROSE = re.compile(r"`(?:python -m )?((?:mmpkd|make)\s[^`]+)`")
_IN_USAGE = re.compile(r"(mmpkd [a-z].*?)(?:$|`)", re.MULTILINE)


def documented_commands() -> dict[tuple[str, ...], str]:
    """Return the place of each command, by its words; of those that are told twice, the last place."""
    return {tuple(words): where for where, line in _lines() if (words := _words(line))}


def _lines() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        prose = _FENCED.sub("", text)
        indented = [line for line in prose.splitlines() if line.startswith("    ")]
        code = "\n".join([*_FENCED.findall(text), *indented])
        for line in [*_COMMAND.findall(code), *_IN_PROSE.findall(prose)]:
            yield page.name, line
    for path in EXPERIMENTS:
        comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
        for line in _COMMAND.findall("\n".join(comments)):
            yield str(path.relative_to(REPOSITORY)), line
    for start in STARTS.values():
        for line in start.commands:
            yield "mmpkd init", line
    for line in _IN_USAGE.findall(USAGE):
        yield "mmpkd --help", line


def _words(line: str) -> list[str]:
    """Return the words of a command; an ellipsis, and what follows it, is left out, and so are comments."""
    words = shlex.split(line, comments=True)
    end = words.index("...") if "..." in words else len(words)
    return words[:end]


def yaml_blocks() -> dict[str, str]:
    """Return the blocks of YAML in the documentation, by page and number."""
    pages = {page: re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL) for page in PAGES}
    return {f"{page.name} {number}": block for page, blocks in pages.items() for number, block in enumerate(blocks)}
