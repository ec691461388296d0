"""A page that needs no server and no network: style, scripts and data are in one file."""

import base64
from pathlib import Path

from mmpkd.study.report.explorer.contents import Contents

_WEB = Path(__file__).parent / "web"
STYLES = ("vendor/uPlot.min.css", "style.css")
# in this order: each script defines a name that later ones use
SCRIPTS = (
    "vendor/uPlot.iife.min.js",
    "scoring.js",
    "payload.js",
    "scores.js",
    "dom.js",
    "model.js",
    "selection.js",
    "link.js",
    "painting.js",
    "plots.js",
    "region.js",
    "summary.js",
    "gallery.js",
    "files.js",
    "controls.js",
    "main.js",
)


def page_of(contents: Contents) -> str:
    """Return a page as HTML.

    Raises:
        ValueError: If the template lacks the marker of a part.
    """
    page = _read("template.html")
    parts = {
        "/*STYLE*/": "\n".join(map(_read, STYLES)),
        "<!--SCRIPTS-->": "\n".join(f"<script>\n{_read(name)}</script>" for name in SCRIPTS),
        "<!--META-->": contents.meta.json(),
        "<!--COLUMNS-->": base64.b64encode(contents.columns).decode(),
        "<!--IMAGES-->": base64.b64encode(contents.images).decode(),
    }
    for marker, content in parts.items():
        before, *after = page.split(marker)
        if len(after) != 1:
            raise ValueError(f"Expected '{marker}' once in template.html but it is there {len(after)} times.")
        page = f"{before}{content}{after[0]}"
    return page


def _read(name: str) -> str:
    return (_WEB / name).read_text(encoding="utf-8")
