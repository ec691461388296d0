"""Options that had other names, in the messages of the parser."""

import re

from mmpkd.records.renamed_settings import present_name

# what jsonargparse says of an option that a class does not know, or of a name in place of an object
_UNKNOWN = re.compile(
    r"class_path '([\w.]+)':\s+(?:Option '([\w.]+)' is not accepted|unrecognized arguments: --([\w.]+)|"
    r"Parser key \"(\w+)\":\s+- Expected a path)"
)


def present_name_in(message: str) -> str | None:
    """Return the name of the option that the parser does not know any more, by its message, or None if it never did."""
    for found in _UNKNOWN.finditer(message):
        class_path, *options = found.groups()
        name = present_name(class_path, next(option for option in options if option))
        if name is not None:
            return name
    return None
