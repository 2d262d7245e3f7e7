"""Section 5: the reader pulls the plug, chooses what is on the disk, and sees what is found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.exploring.crash.plug import plugs
from tests.browser.conftest import OpenPage

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PLUGS = {each.scenario: each for each in plugs()}
RENAMED = "saved_by_rename:renamed_unsynced"


@pytest.fixture
def page(open_page: OpenPage, lab_page: Path) -> Page:
    page = open_page(lab_page)
    page.select_option("#plug-scenario", RENAMED)
    return page


def moments(page: Page) -> Locator:
    return page.locator("#plug .moments button")


def verdict(page: Page) -> str:
    return page.locator("#plug .verdict").inner_text()


def button(page: Page, name: str) -> Locator:
    return page.locator("#plug").get_by_role("button", name=name, exact=True)


def part(page: Page, name: str) -> Locator:
    return page.locator("#plug").get_by_role("group", name=name, exact=True)


def test_every_scenario_shows_its_steps_and_every_choice_what_is_found(page: Page) -> None:
    assert set(page.locator("#plug-scenario option").evaluate_all("all => all.map((one) => one.value)")) == set(PLUGS)
    for name, plug in PLUGS.items():
        page.select_option("#plug-scenario", name)
        assert moments(page).count() == len(plug.steps) + 1
        at = int(page.locator("#plug .moments li").evaluate_all(
            "all => all.findIndex((row) => row.firstChild.getAttribute('aria-pressed') === 'true')"))  # fmt: skip
        left = plug.left[plug.moments[at]]
        button(page, "All old").click()
        expected = plug.found[left.found[0]]
        assert verdict(page) == (
            f"Broken: {plug.texts[expected.wrong]}." if expected.wrong >= 0
            else "The program finds the file whole, or can repair it."
        )  # fmt: skip
        assert page.locator("#plug .again li").all_inner_texts() == [plug.texts[step] for step in expected.steps]
        assert page.locator("#plug .found ul li").count() == len(expected.reasons)


def test_the_reader_finds_the_empty_file(page: Page) -> None:
    moments(page).filter(has_text="rename settings.new").click()
    assert verdict(page).startswith("The program finds the file whole")
    part(page, "length of file 2").get_by_label("0 old, at first").check()
    assert verdict(page) == "Broken: file not whole: settings is empty."
    assert "no sync of settings.new comes between them." in page.locator("#plug .found ul").inner_text()
    part(page, "the name settings").get_by_label("file 1").check()
    assert verdict(page).startswith("The program finds the file whole")
    button(page, "One that breaks").click()
    assert verdict(page).startswith("Broken: ")
    button(page, "All new").click()
    assert verdict(page).startswith("The program finds the file whole")


def test_what_breaks_nowhere_has_no_choice_that_breaks(page: Page) -> None:
    page.select_option("#plug-scenario", "saved_by_rename")
    for number in range(moments(page).count()):
        moments(page).nth(number).click()
        assert button(page, "One that breaks").is_disabled()
    assert page.locator("#plug .mark").count() == 0


def test_it_can_be_used_by_keyboard(page: Page) -> None:
    moments(page).nth(0).click()
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert moments(page).nth(6).get_attribute("aria-pressed") == "true"
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    assert moments(page).nth(0).get_attribute("aria-pressed") == "true"
    assert "nothing is to be chosen" in page.locator("#plug .disk").inner_text()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    part(page, "bytes of file 2").get_by_role("radio").nth(1).focus()
    page.keyboard.press("ArrowUp")
    assert verdict(page).startswith("Broken: ")


def test_where_it_can_break_is_marked_when_it_is_asked_for(page: Page) -> None:
    plug = PLUGS[RENAMED]
    marks = page.locator("#plug .mark:visible")
    assert marks.count() == 0
    marker = button(page, "Mark where it can break")
    marker.click()  # the mouse stays over it
    text, ground = marker.evaluate("each => [getComputedStyle(each).color, getComputedStyle(each).backgroundColor]")
    assert text != ground
    assert marks.count() == sum(
        any(plug.found[each].wrong >= 0 for each in plug.left[place].found) for place in plug.moments
    )


def test_scenario_moment_and_choice_are_in_the_link(open_page: OpenPage, lab_page: Path, page: Page) -> None:
    moments(page).nth(7).click()
    part(page, "length of file 2").get_by_role("radio").nth(0).check()
    fragment = page.evaluate("location.hash.slice(1)")
    assert fragment == "plug=saved_by_rename%3Arenamed_unsynced&cut=7&disk=1.1.0.1"
    again = open_page(lab_page, fragment)
    assert verdict(again) == verdict(page) == "Broken: file not whole: settings is empty."


@pytest.mark.parametrize("fragment", ["plug=nonsense&cut=x&disk=9", f"plug={RENAMED}&cut=999&disk=-1.7.a", "cut=-4"])
def test_a_link_that_makes_no_sense_does_no_harm(fragment: str, open_page: OpenPage, lab_page: Path) -> None:
    assert verdict(open_page(lab_page, fragment))
