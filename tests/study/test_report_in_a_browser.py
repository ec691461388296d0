"""The page of a report in a real browser: on a phone, a tablet and a desk, on paper, and by keyboard alone."""

from pathlib import Path

from tests.browser import PRINTED_WIDTH, WIDTHS, clipped, open_page, running_browser, serious_findings
from tests.study.rich_study import write_rich_report


def test_the_page_can_be_read_at_every_width_on_paper_and_by_keyboard(tmp_path: Path) -> None:
    with running_browser() as browser:  # first, since the test is skipped without one
        page, heard = open_page(browser, write_rich_report(tmp_path).as_uri())
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("document.querySelectorAll('details').forEach((own) => { own.open = true; })")
            assert clipped(page) == [], width
            assert page.locator("table td").first.is_visible()
        assert serious_findings(page) == []
        # a map is enlarged, changed and closed by keyboard, and what was chosen has the focus again
        page.locator("button.enlarge").first.focus()
        page.keyboard.press("Enter")
        dialog = page.locator("dialog")
        assert dialog.is_visible()
        shown = page.locator("dialog img")
        box = shown.bounding_box()
        assert box is not None
        assert box["width"] > 380
        first = shown.get_attribute("alt")
        page.keyboard.press("ArrowRight")
        assert shown.get_attribute("alt") != first
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert page.evaluate("document.activeElement.querySelector('img').alt") == first
        page.emulate_media(media="print")
        page.set_viewport_size({"width": PRINTED_WIDTH, "height": 1000})
        assert clipped(page) == []
        assert heard.complaints == []
        assert heard.requests == []
        # the check itself can fail
        page.set_content("<p style='width: 900px'>too wide</p>")
        assert any("too wide" in found for found in clipped(page))
