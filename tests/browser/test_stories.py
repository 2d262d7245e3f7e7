"""Section 4: stories, played call by call, and what fixes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.tutorial.stories import stories
from tests.browser.conftest import OpenPage

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

STORIES = stories()


@pytest.fixture
def page(open_page: OpenPage, lab_page: Path) -> Page:
    return open_page(lab_page)


def rows(page: Page) -> Locator:
    """The calls of the story that are to be seen."""
    return page.locator("#stories .handle").first.locator("tbody tr:visible")


def button(page: Page, name: str) -> Locator:
    return page.locator("#stories").get_by_role("button", name=name, exact=True).first


def test_each_story_can_be_played_to_its_end_and_is_marked_once_where_it_goes_wrong(page: Page) -> None:
    for story in STORIES:
        button(page, story.scenario.replace("_", " ")).click()
        button(page, "Show all").click()
        told = rows(page).all_inner_texts()
        assert len(told) == len(story.broken.calls)
        for call, text in zip(story.broken.calls, told, strict=True):
            assert (f"{call.call} -> {call.result}" if call.result else call.call) in text
            assert call.note in text
            assert call.wrong == ("Here:" in text)
        assert page.locator("#stories tr.wrong:visible").count() == 1


def test_a_story_begins_before_it_has_gone_wrong_and_goes_on_call_by_call(page: Page) -> None:
    button(page, "closed descriptor").click()
    shown = rows(page).count()
    assert page.locator("#stories tr.wrong:visible").count() == 0
    button(page, "Next call").click()
    assert rows(page).count() == shown + 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert rows(page).count() == shown + 3
    page.keyboard.press("ArrowLeft")
    assert rows(page).count() == shown + 2
    page.keyboard.press("End")
    assert page.locator("#stories tr.wrong:visible").count() == 1
    page.keyboard.press("Home")
    assert rows(page).count() == 1


def test_who_plays_to_the_end_by_a_button_keeps_a_place_for_the_keyboard(page: Page) -> None:
    button(page, "short range").click()
    button(page, "Show all").click()
    page.keyboard.press("ArrowLeft")
    assert rows(page).count() == len(STORIES[0].broken.calls) - 1


def test_on_a_phone_no_head_of_a_table_lies_over_its_rows(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for story in STORIES:
        button(page, story.scenario.replace("_", " ")).click()
        button(page, "What would fix it?").click()
        for table in page.locator("#stories table.story").all():
            head, row = table.locator("thead").bounding_box(), table.locator("tbody tr").first.bounding_box()
            assert head
            assert row
            assert (head["width"], head["height"]) == (1, 1)
            assert table.locator("thead").evaluate("head => getComputedStyle(head).clipPath") == "inset(50%)"


def test_where_a_story_comes_from_stands_apart_from_the_button_above_it(page: Page) -> None:
    fix, origin = button(page, "What would fix it?").bounding_box(), page.locator("#stories .origin").bounding_box()
    assert fix
    assert origin
    assert origin["y"] - fix["y"] - fix["height"] >= 12


def test_the_reasons_come_after_the_last_call(page: Page) -> None:
    reason = page.get_by_text(STORIES[0].broken.moral[0])
    assert not reason.is_visible()
    button(page, "Show all").click()
    assert reason.is_visible()


def test_the_fix_is_told_when_it_is_asked_for(page: Page) -> None:
    for story in STORIES:
        button(page, story.scenario.replace("_", " ")).click()
        fix = page.locator("#stories .fix")
        assert not fix.is_visible()
        button(page, "What would fix it?").click()
        assert story.why in fix.inner_text()
        assert story.fix in fix.inner_text()
        if story.fixed.calls:
            fix.get_by_role("button", name="Show all").click()
            assert fix.locator("tbody tr:visible").count() == len(story.fixed.calls)


def test_story_call_and_fix_are_in_the_link(open_page: OpenPage, lab_page: Path, page: Page) -> None:
    button(page, "threads").click()
    button(page, "Next call").click()
    button(page, "What would fix it?").click()
    again = open_page(lab_page, page.evaluate("location.hash.slice(1)"))
    assert re.search(r"story=threads&step=\d+&fix=\d+", again.url)
    assert again.locator("#stories h3").inner_text().lower() == "threads"
    assert rows(again).count() == rows(page).count()
    assert again.locator("#stories .fix").is_visible()


@pytest.mark.parametrize("fragment", ["story=nonsense&step=x", "story=threads&step=-4&fix=999", "%00=%ff"])
def test_a_link_that_makes_no_sense_does_no_harm(fragment: str, open_page: OpenPage, lab_page: Path) -> None:
    assert rows(open_page(lab_page, fragment)).count() >= 1
