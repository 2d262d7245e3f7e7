"""The page of what was watched: each finding has a timeline, everybody can use it, and a phone need not scroll."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.report.page.watch import watch_page
from tests.browser.conftest import OpenPage, scrolls_sideways
from tests.helpers import wait_until
from tests.report.test_watched import finding, watched

if TYPE_CHECKING:
    from playwright.sync_api import Page


def drawn(page: Page, what: str) -> list[int]:
    """Return what each timeline says of its last drawing."""
    script = (
        "(what) => [...document.querySelectorAll('canvas.timeline')].map((each) => Number(each.dataset[what] || 0))"
    )
    return [int(number) for number in page.evaluate(script, what)]


@pytest.mark.parametrize(("phone", "dark"), [(True, False), (False, True)], ids=["phone", "dark desktop"])
def test_each_finding_has_a_timeline(
    phone: bool, dark: bool, tmp_path: Path, open_page: OpenPage, axe: Callable[[Page], list[str]]
) -> None:
    path = tmp_path / "watched.html"
    path.write_bytes(watch_page(watched(finding("no lock"), finding("converted", note=True), holds=400)))
    page = open_page(path, phone=phone, dark=dark)
    canvases = page.locator("canvas.timeline")
    assert canvases.count() == 3  # one of each finding, and one of all
    wait_until(lambda: all(shapes > 5 for shapes in drawn(page, "shapes")), "all are drawn")
    first, _, before = drawn(page, "to")
    assert first < before  # around its finding
    page.get_by_role("button", name="Jump to the first finding").click()
    wait_until(lambda: drawn(page, "to")[2] != before, "it has jumped")
    page.locator("summary").first.click()
    assert axe(page) == []
    assert not scrolls_sideways(page)
