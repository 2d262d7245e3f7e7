"""The page of what was watched: each finding has a timeline, everybody can use it, and a phone need not scroll."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.report.page.watch import watch_page
from tests.browser.conftest import OpenPage, scrolls_sideways
from tests.report.test_watched import finding, watched

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.parametrize(("phone", "dark"), [(True, False), (False, True)], ids=["phone", "dark desktop"])
def test_each_finding_has_a_timeline(
    phone: bool, dark: bool, tmp_path: Path, open_page: OpenPage, axe: Callable[[Page], list[str]]
) -> None:
    path = tmp_path / "watched.html"
    path.write_bytes(watch_page(watched(finding("no lock"), finding("converted", note=True), holds=400)))
    page = open_page(path, phone=phone, dark=dark)
    canvases = page.locator("canvas.timeline")
    assert canvases.count() == 3  # one of each finding, and one of all
    page.wait_for_function("[...document.querySelectorAll('canvas.timeline')].every((each) => each.dataset.shapes > 5)")
    before = canvases.last.get_attribute("data-to")
    assert int(canvases.first.get_attribute("data-to") or 0) < int(before or 0)  # around its finding
    page.get_by_role("button", name="Jump to the first finding").click()
    page.wait_for_function(f"[...document.querySelectorAll('canvas.timeline')].pop().dataset.to !== '{before}'")
    page.locator("summary").first.click()
    assert axe(page) == []
    assert not scrolls_sideways(page)
