"""The page as a whole: one file that needs nothing else, escapes what is told in it, and can be walked by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.report.text.schedule import NOTATION
from tests.browser.conftest import OpenPage
from tests.helpers import ROOT, run_lab

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECTIONS = {
    "tutorial": "1 A file and its mapping",
    "plays": "2 You are the scheduler",
    "run": "3 A real run",
    "stories": "4 Why a lock fails anyway",
    "plug": "5 Pull the plug",
}
ALERT = "</script><script>alert(1)</script>"
EVIL = f'''
from ctypes import Structure, c_uint64
from lab import Damage, Scenario


class Evil(Scenario):
    """{ALERT}<!-- as /home/alice/top-secret/x.py has it"""

    rounds = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        with w.write_lock():
            w.memory.value += 1  # {ALERT}

    def check(self, memory, outcome):
        return Damage("{ALERT}", outcome.rounds - memory.value, outcome.rounds, ["{ALERT} in " + __file__])
'''


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a scenario whose path, name and words would run a script, made where the environment is odd."""
    folder = tmp_path_factory.mktemp("evil")
    scenario = folder / "x<" / "script><script>alert(1)<!--.py"
    scenario.parent.mkdir()
    scenario.write_text(EVIL)
    odd = {"HOME": "/home/odd-user-name", "USER": "odd-user-name", "LAB_TEST_MARK": "mark-of-the-environment"}
    done = run_lab("page", "--scenario", scenario, cwd=folder, env=odd)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "lab.html"


def headings(page: Page) -> list[str]:
    return page.locator("main > section > h2").all_inner_texts()


def test_the_page_has_its_five_sections_each_with_something_in_it(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page)
    assert headings(page) == list(SECTIONS.values())
    for name in ("tutorial", "plays", "stories", "plug"):
        assert page.locator(f"#{name} button").count() > 5
    assert page.title() == "The lab: does this lock really protect this file?"
    assert page.locator("footer").inner_text().startswith("Made by the lab ")
    assert page.locator(".verdict.bad", has_text="failed").count() == 0


def test_it_has_less_than_400_kilobytes(lab_page: Path) -> None:
    assert lab_page.stat().st_size < 400_000


def test_a_script_in_the_name_the_path_or_the_words_of_a_scenario_stays_text(open_page: OpenPage, evil: Path) -> None:
    page = open_page(evil)
    assert headings(page) == list(SECTIONS.values())
    assert "alert(1)" in page.locator("#plays").inner_text()
    text = evil.read_text()
    assert ALERT not in text
    assert text.count("alert(1)") > 1


def test_it_tells_no_path_no_user_and_nothing_of_the_environment(evil: Path) -> None:
    text = evil.read_text()
    for secret in (str(ROOT), str(evil.parent), "odd-user-name", "mark-of-the-environment", "top-secret"):
        assert secret not in text


def test_an_error_on_the_page_or_a_request_would_be_seen(open_page: OpenPage, lab_page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        lab_page.read_text().replace(
            "</body>", "<img src='https://example.org/x.png'><script>console.error('oh')</script></body>"
        )
    )
    page = open_page(broken)
    page.wait_for_load_state()
    seen = open_page.opened.pop()
    assert any("oh" in each for each in seen.complaints)
    assert any("Content Security Policy" in each for each in seen.complaints)
    page.context.close()


def test_the_links_to_the_sections_move_the_focus_and_keep_the_state(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page, "story=threads")
    for name, heading in SECTIONS.items():
        page.get_by_role("navigation").get_by_role("link", name=heading[2:]).click()
        assert page.evaluate("document.activeElement.id") == name
        assert page.evaluate("location.hash.slice(1)") == f"story=threads&at={name}"
    again = open_page(lab_page, "story=threads&at=stories")
    assert again.evaluate("document.activeElement.id") == "stories"
    assert open_page(lab_page, "run").evaluate("document.activeElement.id") == "run"


@pytest.mark.parametrize(
    ("fragment", "section"),
    [
        ("memory=mpw0mpw0", "tutorial"),
        ("play=counter,none,01", "plays"),
        ("run=counter-none-4", "run"),
        ("story=threads&step=4&fix=2", "stories"),
        ("plug=redo_log:cleared_early&cut=4", "plug"),
        ("story=threads&play=counter,none,01", "plays"),
        ("at=tutorial&play=counter,none,01", "plays"),
        ("play=counter,none,01&at=tutorial", "tutorial"),
    ],
)
def test_a_link_leads_to_the_section_of_what_was_set_last(
    fragment: str, section: str, open_page: OpenPage, lab_page: Path
) -> None:
    page = open_page(lab_page, fragment)
    assert page.evaluate("document.activeElement.id") == section
    top = page.locator(f"#{section}").evaluate("element => element.getBoundingClientRect().top")
    assert abs(top - 16) <= 1  # the scroll padding
    assert page.evaluate("decodeURIComponent(location.hash.slice(1))") == fragment


def test_the_address_leads_back_to_where_something_was_done_last(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page, "play=counter,none,01&story=threads")
    page.locator("#plays").get_by_role("button", name="Let worker 0 go").click()
    page.reload()
    assert page.evaluate("document.activeElement.id") == "plays"
    assert page.locator(".sched-steps .did").count() == 3


def test_the_keyboard_starts_with_a_link_past_the_head(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the text"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


SCREENS = ((1280, 900), (768, 1024), (390, 844))
TO_PLAY_WITH = {"#tutorial": ".acts .button", "#plays": ".sched-go", "#stories": ".handle .row .button"}
LOWEST = 720


def lowest(page: Page, section: str, buttons: str) -> float:
    """How far below the top of its section the lowest of these buttons ends, in pixels."""
    found: float = page.evaluate(
        """([section, buttons]) => {
          const root = document.querySelector(section);
          const shown = [...root.querySelectorAll(buttons)].filter((each) => each.offsetParent);
          const ends = shown.map((each) => each.getBoundingClientRect().bottom);
          return Math.max(...ends) - root.getBoundingClientRect().top;
        }""",
        [section, buttons],
    )
    return found


def test_the_buttons_to_play_with_are_near_the_top_of_their_section(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page)
    scenarios = page.locator("#sched-scenario option").evaluate_all("all => all.map((each) => each.value)")
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        for section, buttons in TO_PLAY_WITH.items():
            assert 0 < lowest(page, section, buttons) <= LOWEST, (width, section)
        for scenario in scenarios:
            page.select_option("#sched-scenario", scenario)
            assert 0 < lowest(page, "#plays", ".sched-go") <= LOWEST, (width, scenario)


def test_the_sections_and_the_explorer_have_one_notation(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page)
    signs = dict(NOTATION)
    for section, expected in {"#plays": list(signs), "#stories": ["x -> 0", "x = 1", "lock x", "unlock x"]}.items():
        legend = page.locator(f"{section} .notation")
        assert legend.locator("dt").all_inner_texts() == expected
        assert legend.locator("dd").all_inner_texts() == [signs[each] for each in expected]
    page.locator("#sched-scenario").select_option("counter")
    page.locator("#plays").get_by_role("button", name="Lock on (fcntl)").click()
    for worker in (0, 0):
        page.locator("#plays").get_by_role("button", name=f"Let worker {worker} go").click()
    assert page.locator(".sched-steps .did .mono").all_inner_texts() == ["lock value", "value -> 0"]
    assert page.locator(".sched-state").nth(1).inner_text() == "waits for value, held by worker 0"
    calls = page.locator("#stories .call").all_text_contents()
    assert calls[:3] == ["lock cells[0]", "cells[0] -> 0", "cells[0] = 1"]


def test_tab_comes_to_every_section_and_through_the_page(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page)
    seen = []
    for _ in range(120):
        page.keyboard.press("Tab")
        where = page.evaluate(
            "document.activeElement.closest('section, header, footer')?.id ?? document.activeElement.tagName"
        )
        seen.append(where)
        if where == "BODY":
            break
    assert [name for name in dict.fromkeys(seen) if name in SECTIONS] == ["tutorial", "plays", "stories", "plug"]
