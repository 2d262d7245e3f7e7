from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_uint64
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lab.exploring.operation import shown
from lab.exploring.plays import plays
from lab.exploring.simplify import world_of
from lab.exploring.trace import trace
from lab.exploring.worker import shape_of
from lab.locking import Deadlock
from lab.records import Plays, Step
from lab.report.page.build import page_of
from lab.scenario import find_scenarios
from tests.browser.conftest import OpenPage, scrolls_sideways
from tests.exploring.worlds import scenario_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

LOST = "00011110"
"""Worker 0 loads, worker 1 does all of its four steps, worker 0 stores what is old by then."""


@pytest.fixture(scope="module")
def made() -> Plays:
    return plays(find_scenarios(["counter", "check_then_lock", "opposite_order", "readers_writers"]))


@pytest.fixture
def opened(open_page: OpenPage, made: Plays, tmp_path: Path) -> Callable[..., Page]:
    """The page with some games, at a fragment."""

    def page(fragment: str = "", **window: Any) -> Page:
        return open_page(written(tmp_path, made), fragment, **window)

    return page


def written(folder: Path, games: Plays) -> Path:
    path = folder / "lab.html"
    path.write_text(page_of({"plays": msgspec.json.encode(games)}))
    return path


def button(page: Page, text: str) -> Locator:
    return page.locator("#plays").get_by_role("button", name=text)


def go(page: Page, schedule: str) -> None:
    """Click who goes next, one after the other."""
    for worker in schedule:
        button(page, f"Let worker {worker} go").click()


def undo(page: Page, steps: int) -> None:
    for _ in range(steps):
        button(page, "Undo").click()


def told(page: Page) -> list[str]:
    """The steps so far, as they stand in the columns."""
    return page.locator(".sched-steps .did .mono").all_inner_texts()


def verdict(page: Page) -> Locator:
    return page.locator(".sched-verdict")


def value(page: Page) -> str:
    return page.locator(".sched-value").inner_text()


def test_by_clicking_the_counter_is_played_to_a_lost_update(opened: Callable[..., Page]) -> None:
    page = opened()
    go(page, LOST)
    assert told(page) == [
        "value -> 0", "value = 1", "value -> 1", "value -> 1", "value = 2", "value -> 2", "value = 3", "value = 2",
    ]  # fmt: skip
    assert value(page) == "2"
    assert "You broke it: lost update" in verdict(page).inner_text()
    assert "lost update, 2 of 4: value is 2 after 4 additions." in verdict(page).inner_text()
    assert page.locator(".sched-turn", has_text="switch >").count() == 1


def test_a_button_says_what_its_worker_will_do(opened: Callable[..., Page]) -> None:
    page = opened()
    go(page, "0")
    assert button(page, "Let worker 0 go: value = 1").is_enabled()
    assert button(page, "Let worker 1 go: value -> 0").is_enabled()


def test_with_the_lock_on_all_six_schedules_are_clean(opened: Callable[..., Page]) -> None:
    page = opened()
    go(page, LOST)
    button(page, "Switch the lock on and try again").click()
    for number, order in enumerate(["0011", "0101", "0110", "1001", "1010", "1100"], 1):
        for section in order:
            go(page, section)
            waits_for(page, int(section))
            page.keyboard.type(section * 3)
        assert "nothing is broken" in verdict(page).inner_text()
        assert (
            f"You have tried {f'all {number}' if number == 6 else f'{number} of the 6'}" in verdict(page).inner_text()
        )
        assert value(page) == "4"
        button(page, "Start again").click()


def test_on_a_phone_the_memory_stays_in_view_while_one_plays(open_page: OpenPage, lab_page: Path) -> None:
    page = open_page(lab_page, phone=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.select_option("#sched-scenario", "torn_record")
    for worker in (0, 0, 1, 1, 1):
        button(page, f"Let worker {worker} go").click()
        page.locator(".sched-guess").scroll_into_view_if_needed()
        box = page.locator(".sched-memory").bounding_box()
        assert box
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 844
        for row in page.locator(".sched-memory .changed").all()[:1]:
            changed = row.bounding_box()
            assert changed
            assert box["y"] <= changed["y"] < box["y"] + box["height"]


def waits_for(page: Page, holder: int) -> None:
    """The other worker is shown to wait, unless it has finished, and cannot be let go."""
    other = page.locator(f".sched-go.worker-{1 - holder}")
    assert other.is_disabled()
    if "has finished" not in other.inner_text():
        assert other.inner_text() == f"Worker {1 - holder} waits"
        assert page.locator(".sched-state").nth(1 - holder).inner_text() == f"waits for value, held by worker {holder}"
        assert page.locator(".sched-head").nth(holder).inner_text().endswith("holds value")


def test_undo_goes_back_to_exactly_what_was_there(opened: Callable[..., Page]) -> None:
    page = opened("play=counter,fcntl,")
    shots = []
    for step in "0000111100001111":
        shots.append(page.locator(".sched").inner_html())
        go(page, step)
    for shot in reversed(shots):
        undo(page, 1)
        now = page.locator(".sched").inner_html()
        assert now == shot
    assert button(page, "Undo").is_disabled()


def stop_the_clock(page: Page) -> None:
    """From now on it moves only when it is told to."""
    page.clock.install(time="2024-01-01T00:00:00Z")
    page.clock.pause_at("2024-01-01T01:00:00Z")


def test_the_shortest_failure_is_shown_step_by_step_with_its_reasons(opened: Callable[..., Page], made: Plays) -> None:
    shortest = made.plays[0].shortest
    assert shortest
    page = opened("play=counter,none,01")
    button(page, "All").click()
    stop_the_clock(page)
    button(page, "Show me the shortest failure").click()
    assert told(page) == []
    for steps in range(1, len(shortest.schedule) + 1):
        assert verdict(page).is_hidden()
        page.clock.run_for(650)
        assert len(told(page)) == steps
    assert shortest.headline in verdict(page).inner_text()
    assert verdict(page).locator("li").all_inner_texts() == shortest.reasons
    assert "value is 2 after 4 additions" in verdict(page).inner_text()


def test_the_shortest_failure_can_be_stopped(opened: Callable[..., Page]) -> None:
    page = opened()
    button(page, "All").click()
    stop_the_clock(page)
    button(page, "Show me the shortest failure").click()
    page.clock.run_for(1400)
    button(page, "Stop").click()
    page.clock.run_for(10_000)
    assert len(told(page)) == 2


@pytest.mark.parametrize(
    ("game", "breaks"),
    [("counter,none", True), ("counter,fcntl", False), ("check_then_lock,fcntl", True), ("opposite_order,ofd", True)],
)
def test_whether_there_is_a_shortest_failure_is_seen_after_a_guess(
    opened: Callable[..., Page], game: str, breaks: bool
) -> None:
    page = opened(f"play={game},")
    shortest = button(page, "Show me the shortest failure")
    assert not shortest.is_visible()
    button(page, "Half or more").click()
    assert shortest.is_visible() is breaks


def test_the_count_is_revealed_after_a_guess_and_is_the_explorers(opened: Callable[..., Page]) -> None:
    page = opened()
    guess = page.locator(".sched-guess")
    assert "70" in guess.inner_text()
    assert "64" not in guess.inner_text()
    assert not button(page, "Show the odds").is_visible()
    button(page, "Fewer than half").click()
    assert "64 of 70 schedules break (91 %). You said: fewer than half." in guess.inner_text()
    assert page.get_by_role("img", name="64 of 70 schedules break").is_visible()


def test_with_the_lock_on_none_is_the_right_guess(opened: Callable[..., Page]) -> None:
    page = opened("play=counter,fcntl,")
    button(page, "None").click()
    assert "0 of 6: nobody can break it. You were right." in page.locator(".sched-guess").inner_text()


def test_each_game_has_a_guess_of_its_own(opened: Callable[..., Page]) -> None:
    page = opened()
    button(page, "All").click()
    button(page, "Lock on (fcntl)").click()
    assert "First a guess." in page.locator(".sched-guess").inner_text()
    button(page, "No lock").click()
    assert "You said: all." in page.locator(".sched-guess").inner_text()


def test_the_odds_follow_the_steps(opened: Callable[..., Page]) -> None:
    page = opened()
    button(page, "Half or more").click()
    button(page, "Show the odds").click()
    assert page.locator(".sched-odds").inner_text() == "From here 64 of 70 schedules break."
    go(page, "0011")
    assert page.locator(".sched-odds").inner_text() == "From here 4 of 6 schedules break."


def test_a_link_brings_the_position_back(opened: Callable[..., Page]) -> None:
    page = opened()
    go(page, "011")
    page.reload()
    assert told(page) == ["value -> 0", "value -> 0", "value = 1"]
    assert re.search(r"#play=counter(,|%2C)none(,|%2C)011$", page.url)


def test_the_copied_link_is_one_that_works(opened: Callable[..., Page], open_page: OpenPage) -> None:
    page = opened("play=check_then_lock,fcntl,010")
    button(page, "Copy a link").click()
    field = page.get_by_label("Link to this position")
    field.wait_for()
    link = field.input_value()
    assert link.endswith("#play=check_then_lock,fcntl,010")
    page.goto("about:blank")
    page.goto(link)
    assert told(page) == ["value -> 0", "value -> 0", "lock value"]
    assert page.locator("#plays").evaluate("element => element === document.activeElement")
    assert page.evaluate("scrollY") > 0


ELSEWHERE = "The link names a scenario that is not on this page"


@pytest.mark.parametrize(
    ("fragment", "steps", "note"),
    [
        ("play=nothing,none,01", 0, ELSEWHERE),
        ("play=counter,none,0119", 3, "The link was followed for 3 steps"),
        ("play=counter,fcntl,01", 1, "The link was followed for 1 step;"),
        ("play=counter,none,00000000", 4, "The link was followed for 4 steps"),
        ("play=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E,none,", 0, ELSEWHERE),
        ("play=%E0%A4%A", 0, ELSEWHERE),
        ("play=,,", 0, ELSEWHERE),
    ],
)
def test_a_link_that_leads_nowhere_is_followed_as_far_as_it_goes(
    opened: Callable[..., Page], fragment: str, steps: int, note: str
) -> None:
    page = opened(fragment)
    assert len(told(page)) == steps
    assert note in page.locator("#plays").inner_text()
    assert page.locator("#plays img:not([role])").count() == 0


def test_it_is_played_with_the_keyboard_alone(opened: Callable[..., Page]) -> None:
    page = opened()
    tab_to(page, "sched-go")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert told(page) == ["value -> 0", "value -> 0"]
    page.keyboard.press("u")
    page.keyboard.press("Backspace")
    assert told(page) == []
    page.keyboard.type("00")
    page.keyboard.press("Control+z")
    page.keyboard.type("0")
    page.keyboard.type("01111")
    page.keyboard.press("1")
    assert len(told(page)) == 7
    page.keyboard.type("0")
    assert "You broke it" in verdict(page).inner_text()
    assert verdict(page).evaluate("element => element === document.activeElement")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert button(page, "Lock on (fcntl)").get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.innerText").startswith("Let worker 0 go")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until something of that class has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("name => document.activeElement.classList.contains(name)", name):
            return
    raise AssertionError(f"no way to .{name} with Tab")


def test_the_focus_is_never_on_a_button_that_cannot_be_pressed(opened: Callable[..., Page]) -> None:
    page = opened("play=counter,fcntl,")
    page.locator(".sched-go.worker-1").press("Enter")
    page.keyboard.type("0")
    assert told(page) == ["lock value"]
    says(page, "worker 0 waits for value, held by worker 1")
    for _ in range(15):
        assert page.evaluate("document.activeElement.disabled") is False
        page.keyboard.press("Enter")
    assert "nothing is broken" in verdict(page).inner_text()


def says(page: Page, text: str) -> None:
    """Fails unless a screen reader is told so now."""
    from playwright.sync_api import expect

    expect(page.locator("#said")).to_have_text(text)


def test_every_step_is_told_in_words(opened: Callable[..., Page]) -> None:
    page = opened("play=counter,fcntl,")
    go(page, "0")
    says(page, "worker 0 locks value. worker 1 waits for value, held by worker 0")
    go(page, "0")
    says(page, "worker 0 loads 0 from value. worker 1 waits for value, held by worker 0")
    button(page, "Undo").click()
    says(page, "Undone: the step of worker 0.")


def test_a_counterexample_breaks_with_the_lock_on_and_says_why(opened: Callable[..., Page]) -> None:
    page = opened("play=opposite_order,ofd,01")
    assert "You broke it: deadlock" in verdict(page).inner_text()
    assert "worker 0 waits for b, which worker 1 holds" in verdict(page).inner_text()
    assert "One order of locking for everybody fixes it." in verdict(page).inner_text()
    assert page.locator(".sched-go:disabled").count() == 2


def test_finishing_at_random_comes_to_an_end(opened: Callable[..., Page]) -> None:
    page = opened("play=counter,fcntl,00")
    button(page, "Finish at random").click()
    assert len(told(page)) == 16
    assert "nothing is broken" in verdict(page).inner_text()


def test_after_finishing_at_random_the_keys_still_play(opened: Callable[..., Page]) -> None:
    page = opened("play=counter,fcntl,00")
    button(page, "Finish at random").press("Enter")
    assert verdict(page).evaluate("element => element === document.activeElement")
    page.keyboard.press("u")
    assert len(told(page)) == 15
    button(page, "Finish at random").press("Enter")
    page.keyboard.press("r")
    assert told(page) == []


def test_another_race_shows_its_code_and_keeps_the_lock(opened: Callable[..., Page]) -> None:
    page = opened("play=counter,fcntl,00")
    page.get_by_label("Race").select_option("check_then_lock")
    assert "value = w.memory.value" in page.locator(".sched-code").inner_text()
    assert button(page, "Lock on (fcntl)").get_attribute("aria-pressed") == "true"
    assert told(page) == []


def gives_way(scenario: Any, w: Any) -> None:
    """Locks both fields, the other one first if the worker is odd; who is refused leaves it at that."""
    fields = [scenario.Memory.a, scenario.Memory.b]
    with suppress(Deadlock), w.write_lock(fields[w.index]), w.write_lock(fields[1 - w.index]):
        w.memory.a += 1


WALK = """([at, schedule]) => {
    const play = new Play(Lab.data("plays").plays[at]);
    play.follow(schedule);
    const told = (step) => [step.worker, Play.text(step).replaceAll("\\u00a0", " "), step.turn];
    return [play.steps().map(told), play.damage];
}"""
MARKS = {"same": "", "preempted": "switch >", "free": ">"}


def test_the_page_goes_through_schedules_as_the_explorer_does(open_page: OpenPage, tmp_path: Path) -> None:
    refusing = scenario_of(gives_way, ("a", c_uint64), ("b", c_uint64))
    scenarios = [*find_scenarios(["counter", "bank", "torn_record", "opposite_order"]), refusing]
    games, random = plays(scenarios), Random("page")
    page, marks = open_page(written(tmp_path, games)), set()
    for number, play in enumerate(games.plays):
        found = next(each for each in scenarios if each.name == play.scenario)
        world = world_of(shape_of(found, play.lock, play.workers, play.rounds, play.line_bytes))
        for _ in range(10):
            while choices := world.choices():
                world.do(random.choice(choices))
            schedule = bytes(world.path)
            world.back_to(0)
            steps, end = trace(world, schedule)
            shown, damage = page.evaluate(WALK, [number, list(schedule)])
            steps = [replace(steps[0], turn="same"), *steps[1 : len(schedule)]]
            assert shown == [[each.worker, text_of(each), MARKS[each.turn]] for each in steps]
            assert [each["kind"] for each in damage] == [each.kind for each in end.damage]
            marks |= {"REFUSED" in text or mark for _, text, mark in shown}
    assert marks == {True, *MARKS.values()}


def text_of(step: Step) -> str:
    """The step as the text report has it in its column."""
    if step.operation in ("load", "store"):
        return f"{step.field} {'->' if step.operation == 'load' else '='} {shown(step.value)}"
    refused = " REFUSED (EDEADLK)" if step.value == "EDEADLK" else ""
    return f"{step.operation} {step.field}{refused}"


HOSTILE = '''"""</script><script>alert(1)</script><img src=x onerror=alert(2)> & co."""

from ctypes import Structure, c_uint64

from lab import Damage, Scenario


class Hostile(Scenario):
    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        w.memory.value += 1  # </script><b>

    def check(self, memory, outcome):
        return Damage("<i>lost</i>", outcome.rounds - memory.value, outcome.rounds, ["</script>"])
'''


def test_a_hostile_scenario_is_text(open_page: OpenPage, tmp_path: Path) -> None:
    file = tmp_path / "a,b&<c>.py"
    file.write_text(HOSTILE)
    page = open_page(written(tmp_path, plays(find_scenarios([str(file)]))))
    assert page.locator(".sched-summary").inner_text().startswith("</script><script>alert(1)</script><img src=x")
    assert "# </script><b>" in page.locator(".sched-code").inner_text()
    go(page, LOST)
    assert "You broke it: <i>lost</i>" in verdict(page).inner_text()
    page.reload()
    assert "<i>lost</i>, 2 of 4: </script>." in verdict(page).inner_text()
    assert page.locator("#plays img:not([role]), #plays i, #plays b").count() == 0


def test_a_page_without_games_says_how_to_make_one_with(open_page: OpenPage, tmp_path: Path) -> None:
    path = tmp_path / "lab.html"
    path.write_text(page_of({}))
    assert "lab page" in open_page(path).locator("#plays").inner_text()


def test_what_cannot_be_played_is_told(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(written(tmp_path, plays(find_scenarios(["counter", "killed_holder"]))))
    assert "killed_holder cannot be played" in page.locator("#plays").inner_text()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_it_is_accessible_and_fits_the_window(
    opened: Callable[..., Page], axe: Callable[..., list[str]], dark: bool, phone: bool
) -> None:
    page = opened("play=counter,fcntl,000", dark=dark, phone=phone)
    assert axe(page, "#plays") == []
    button(page, "None").click()
    button(page, "Show the odds").click()
    assert axe(page, "#plays") == []
    for fragment in ("play=counter,none,00011110", "play=opposite_order,ofd,01", "play=readers_writers,none,0101010"):
        page.goto("about:blank")
        page = opened(fragment, dark=dark, phone=phone)
        assert axe(page, "#plays") == []
        assert not scrolls_sideways(page)
