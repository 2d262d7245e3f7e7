"""Everybody can use it: axe-core has nothing to say, in light and dark, and a phone need not scroll sideways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import OpenPage, scrolls_sideways

if TYPE_CHECKING:
    from playwright.sync_api import Page

EVERYTHING = "story=closed_descriptor&step=99&fix=99&plug=saved_by_rename:renamed_unsynced&cut=7&disk=1.0.0.0"


@pytest.fixture(params=[False, True], ids=["desktop", "phone"])
def phone(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def dark(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_axe_finds_nothing(
    phone: bool, dark: bool, open_page: OpenPage, lab_page: Path, axe: Callable[[Page], list[str]]
) -> None:
    page = open_page(lab_page, EVERYTHING, phone=phone, dark=dark)
    page.select_option("#flags-B", "p")
    for row, at in ((2, 4), (1, 5)):
        page.locator("#tutorial .strip").nth(row).locator(".cell").nth(at).focus()
        page.keyboard.press("Q")
    page.locator(".tryout summary").click()
    assert axe(page) == []
    assert not scrolls_sideways(page)


def test_axe_sees_what_is_wrong(open_page: OpenPage, lab_page: Path, axe: Callable[[Page], list[str]]) -> None:
    page = open_page(lab_page)
    page.evaluate("document.querySelector('h1').style.color = '#ddd'; document.querySelector('#predict').id = 'nobody'")
    assert {each.partition(":")[0] for each in axe(page)} == {"color-contrast", "label"}


def test_a_page_that_is_too_wide_is_seen_to_be(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page, phone=True)
    page.evaluate("document.querySelector('h1').style.width = '900px'")
    assert scrolls_sideways(page)
