"""Debian's Chromium, for tests of pages; they are skipped where there is none."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

WIDTHS = (390, 768, 1280)
# what a page of A4 with margins of 12 mm has room for
PRINTED_WIDTH = 703
# elements whose box leaves the window, or whose content leaves their box; what is hidden for good has no box
_CLIPPED = """() => {
  const width = document.documentElement.clientWidth;
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    if (!box.width || !box.height || element.closest("script, style")) continue;
    // names of columns that stand beside each value instead
    const head = element.closest("thead");
    if (head && getComputedStyle(head).position === "absolute") continue;
    const leaves = box.left < -1 || box.right > width + 1;
    const isBox = style.display !== "inline" && !(element instanceof SVGElement);
    const isCut = isBox && element.scrollWidth > element.clientWidth + 1;
    if (leaves || isCut) found.push(`${element.tagName} ${element.textContent.trim().slice(0, 40)}`);
  }
  return found;
}"""


def find_browser() -> str:
    """Return the path of the browser, or skip the test and say what is missing."""
    pytest.importorskip("playwright", reason="needs playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs a browser: Debian's package chromium")
    return chromium


@dataclass
class Heard:
    """What a page says while it is open.

    Attributes:
        complaints: Errors and warnings on its console, and exceptions that nothing caught.
        requests: Addresses that it asks a network for.
    """

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def running_browser() -> "Iterator[Browser]":
    """Start a browser, and end it. The test is skipped where playwright or Chromium is missing."""
    chromium = find_browser()
    from playwright import sync_api as api

    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: "Browser", address: str) -> "tuple[Page, Heard]":
    """Open a page in a window of its own."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    heard = Heard()

    def listen(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            heard.complaints.append(message.text)

    def note(request: "Request") -> None:
        if not request.url.startswith(("file:", "data:", "blob:", "about:")):
            heard.requests.append(request.url)

    page.on("console", listen)
    page.on("pageerror", lambda error: heard.complaints.append(str(error)))
    page.on("request", note)
    page.goto(address)
    return page, heard


def wait(page: "Page", expression: str, seconds: float = 60.0) -> None:
    """Wait until an expression is true. playwright's own waiting evaluates text in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"expected {expression} within {seconds:.0f} s"
        page.wait_for_timeout(20)


def drag(page: "Page", *points: tuple[float, float]) -> None:
    """Press the mouse at the first point and release it at the last; with one point, click."""
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def clipped(page: "Page") -> list[str]:
    """Return what of a page cannot be seen at the width of its window without scrolling sideways."""
    found: list[str] = page.evaluate(_CLIPPED)
    return found


def serious_findings(page: "Page") -> list[str]:
    """Return the rules of accessibility that a page breaks seriously (axe-core)."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    violations = axe.run(page).response["violations"]
    return [f"{own['id']}: {own['nodes'][0]['html']}" for own in violations if own["impact"] in ("serious", "critical")]
