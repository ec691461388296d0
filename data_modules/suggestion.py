"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'a' or 'b'?` with the known names nearest to a word, or an empty string if none is near.

    Names that begin with the word come first, shortest first, since words are cut short more often than misspelt.

    Args:
        word: The word as written.
        known: Names that could have been meant.
    """
    names = sorted(set(known))
    longer = sorted((name for name in names if name.startswith(word)), key=len)
    near = longer[:2] or difflib.get_close_matches(word, names, n=2)
    return f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
