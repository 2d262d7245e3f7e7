"""The third section in a browser: the timeline, what went wrong, the bytes, the tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.records import Case, Damage
from lab.report.page.build import MOST_SENTENCES, page_of, run_part
from tests.browser.conftest import DESKTOP, scrolls_sideways
from tests.browser.test_page import LOWEST, SCREENS, lowest
from tests.report.page.recordings import FOUND, LOAD, LOST, LOST_ROWS, STORE, Row, counted, held, word
from tests.report.records import CLEAN, UNLOCKED, run_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOLDS = 10_000
JUMP = "Jump to the first damage"


@pytest.fixture
def shown(open_page: Callable[..., Page], tmp_path: Path) -> Callable[..., Page]:
    def show(*cases: Case, fragment: str = "", **how: Any) -> Page:
        path = tmp_path / "lab.html"
        parts = {"run": run_part(run_of(*cases))} if cases else {}
        path.write_text(page_of(parts))
        return open_page(path, fragment, **how)

    return show


def frame_of(page: Page) -> tuple[int, int, int]:
    """Shapes of the last frame, and the view in ns, once what was asked for has been drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    numbers = page.locator(".timeline").evaluate(
        "(canvas) => [canvas.dataset.shapes, canvas.dataset.from, canvas.dataset.to]"
    )
    shapes, begin, end = map(int, numbers)
    return shapes, begin, end


def test_without_a_run_the_page_tells_how_to_make_one(shown: Callable[..., Page]) -> None:
    text = shown().locator("#run").inner_text()
    assert "lab race counter --html lab.html" in text


def test_a_case_without_a_recording_tells_how_to_record(shown: Callable[..., Page]) -> None:
    page = shown(CLEAN)
    assert "--record" in page.locator(".stage").inner_text()
    page.get_by_text("What broke", exact=True).click()
    assert page.get_by_role("region", name="What broke").get_by_role("row").count() == 2


def test_the_jump_to_the_first_damage_explains_it_step_by_step(shown: Callable[..., Page]) -> None:
    page = shown(LOST, held(10))
    page.get_by_role("button", name=JUMP).click()
    told = page.locator(".explained").inner_text()
    assert "Worker 1 stored 1 to value (round 1, 3.00 us) over the 1 of worker 0" in told
    marked = page.locator(".steps .marked").all_inner_texts()
    assert [line.split()[0] for line in marked] == ["1.20", "2.00", "3.00"]
    _, begin, end = frame_of(page)
    assert begin <= 1200
    assert end >= 3100
    steps = page.locator(".steps td").all_inner_texts()
    assert any(re.fullmatch(r"\d*value -> 0 \(round 1\)", each) for each in steps)
    assert page.locator("#run .notation dt").all_inner_texts() == ["x -> 0", "x = 1", "lock x", "unlock x", "waits"]
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        assert 0 < lowest(page, "#run", ".tools .button") <= LOWEST, width


def test_a_worker_that_ended_inside_its_lock_is_no_damage_where_the_check_found_none(
    shown: Callable[..., Page],
) -> None:
    case = held(2)
    assert case.recording
    holds = replace(case.recording.holds, released_ns=[-1, 1900])
    page = shown(replace(case, recording=replace(case.recording, holds=holds)))
    assert "The check found nothing wrong" in page.locator(".stage > .verdict.good").inner_text()
    assert page.get_by_role("button", name=JUMP).count() == 0
    page.get_by_role("button", name="Jump to the first event").click()
    assert "ended while it held the lock" in page.locator(".explained").inner_text()
    assert {"waits for value", "lock value"} <= set(page.locator(".steps td").all_inner_texts())
    assert page.locator(".stage .bad").count() == 0


def test_a_store_over_what_was_not_seen_is_no_damage_where_the_check_found_none(shown: Callable[..., Page]) -> None:
    page = shown(replace(CLEAN, recording=counted(LOST_ROWS, 2)))
    assert "which is well where it meant to overwrite" in page.locator(".stage > .verdict.good").inner_text()
    page.get_by_role("button", name="Jump to the first event").click()
    assert page.locator(".explained").inner_text().startswith("overwritten unseen: Worker 1 stored 1")
    assert page.get_by_role("button", name="Next damaged byte").count() == 0


HELD_UNTIL = """() => RunRecord.unpacked(Lab.data("run").cases[0].recording).lanes
    .map((lane) => lane.holds.flatMap((track) => [...track.ends]))"""


def test_a_lock_that_was_not_given_back_is_drawn_until_another_was_let_in(shown: Callable[..., Page]) -> None:
    case = held(2)
    assert case.recording
    died = replace(case.recording.holds, released_ns=[-1, 1900])
    page = shown(replace(case, recording=replace(case.recording, holds=died)))
    assert page.evaluate(HELD_UNTIL) == [[1000], [1900]]
    stuck = replace(died, granted_ns=[0, -1], released_ns=[-1, -1])
    page = shown(replace(case, recording=replace(case.recording, holds=stuck)))
    assert page.evaluate(HELD_UNTIL) == [[1550], []]


def test_how_often_it_is_marked_is_told_apart_from_what_the_check_counted(shown: Callable[..., Page]) -> None:
    assert LOST.recording
    damage = [Damage("lost update", 200, 400, [])]
    page = shown(replace(LOST, recording=replace(LOST.recording, damage=damage)))
    assert "1 moment is marked below. The check counts something else" in page.locator(".stage").inner_text()
    page = shown(replace(CLEAN, recording=replace(counted([], 0), damage=damage)))
    assert "No moment is marked below" in page.locator(".stage").inner_text()


def losses(count: int) -> Case:
    """So many lost updates: each time both load, and the second stores over the first."""
    rows: list[Row] = []
    for number in range(count):
        begun = 10_000 * number
        rows += [(each, number, LOAD, begun + 100 * each, begun + 150 * each + 50, word(number)) for each in (0, 1)]
        rows += [
            (each, number, STORE, begun + 1000 + 1000 * each, begun + 1100 + 1000 * each, word(number + 1))
            for each in (0, 1)
        ]
    damage = [Damage("lost update", 2 * count, 4 * count, [])]
    return replace(LOST, recording=replace(counted(rows, count), damage=damage))


LAST_TRIANGLE = """(canvas) => {
    const { width } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, 20);
    return Math.max(...Array.from({ length: width * 20 }, (_, at) => (data[4 * at + 3] ? at % width : 0))) / width;
}"""


def test_of_more_damage_than_is_told_in_words_every_moment_is_marked_and_counted(shown: Callable[..., Page]) -> None:
    page = shown(losses(MOST_SENTENCES + 50))
    text = page.locator(".stage").inner_text()
    assert f"{MOST_SENTENCES + 50} moments are marked below" in text
    assert "Left out: 50 of the moments marked below are not described in words." in text
    assert f"Hit {MOST_SENTENCES + 50} times. First: Worker 1 stored 1" in text
    frame_of(page)
    assert page.locator(".timeline").evaluate(LAST_TRIANGLE) > 0.99
    page.get_by_role("button", name=JUMP).click()
    assert page.locator(".tools .hint").inner_text() == f"1 of {MOST_SENTENCES + 50}"


def test_a_byte_that_was_hit_by_what_has_no_words_tells_when(
    shown: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.report.page.build.MOST_SENTENCES", 0)
    about = shown(LOST).locator(".about")
    assert "Hit once. First: lost update, at 3.00 us." in about.inner_text()
    assert about.get_by_role("button").count() == 0


def test_steps_that_are_left_out_of_an_explanation_are_counted(shown: Callable[..., Page]) -> None:
    between = [(0, n, STORE, 2100 + 10 * n, 2105 + 10 * n, word(n)) for n in range(1, 21)]
    page = shown(replace(LOST, recording=replace(counted([*LOST_ROWS[:4], *between], 1), damage=FOUND)))
    page.get_by_role("button", name=JUMP).click()
    assert page.locator(".steps tbody tr").count() == 14
    assert "10 more steps of these workers at that time are left out here." in page.locator(".explained").inner_text()


def test_a_byte_tells_whose_it_is_and_what_it_overwrote_under_the_pointer_and_by_the_arrows(
    shown: Callable[..., Page],
) -> None:
    page = shown(LOST)
    slider = page.get_by_role("slider", name="Byte of the file")
    slider.focus()
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuenow") == "7"
    page.keyboard.press("Home")
    text = slider.get_attribute("aria-valuetext") or ""
    assert "Byte 0 of value is 0x02. It was left by worker 0 (round 2" in text
    assert "It overwrote 1 of worker 1 (round 1" in text
    assert "Hit once" in text
    page.locator("canvas.bytes").hover(position={"x": 96 + 26 * 3 + 10, "y": 12})
    assert slider.get_attribute("aria-valuenow") == "3"
    assert "Byte 3 of value is 0x00" in page.locator(".about").inner_text()
    page.get_by_role("button", name="Show it in the timeline").click()
    assert "which it had not seen" in page.locator(".explained").inner_text()


def test_ten_thousand_holds_are_drawn_with_no_more_shapes_than_the_window_has_room_for(
    shown: Callable[..., Page],
) -> None:
    page = shown(held(HOLDS))
    frame = page.get_by_role("application")
    frame.focus()
    width = page.locator(".timeline").evaluate("(canvas) => canvas.clientWidth")
    lanes, tracks = 2, 4
    room = lanes * tracks * width + 100
    shapes, begin, end = frame_of(page)
    assert 0 < shapes <= room < 3 * HOLDS
    assert end - begin >= 1000 * HOLDS - 1000
    for key in ["+"] * 10 + ["ArrowRight"] * 5 + ["ArrowLeft"] * 2:
        page.keyboard.press(key)
        shapes, begin, end = frame_of(page)
        assert 0 < shapes <= room
    assert end - begin == pytest.approx((1000 * HOLDS) / 2**10, rel=0.01)
    page.keyboard.press("0")
    assert frame_of(page)[2] - frame_of(page)[1] >= 1000 * HOLDS - 1000


def test_the_wheel_zooms_only_what_has_the_focus_and_dragging_moves(shown: Callable[..., Page]) -> None:
    page = shown(held(200))
    box = page.locator(".timeline").bounding_box()
    assert box
    page.locator(".timeline").scroll_into_view_if_needed()
    page.locator(".timeline").hover()
    whole = frame_of(page)[1:]
    page.mouse.wheel(0, -10)
    assert frame_of(page)[1:] == whole
    page.get_by_role("application").focus()
    page.locator(".timeline").hover()
    page.mouse.wheel(0, -300)
    _, begin, end = frame_of(page)
    assert end - begin < whole[1] - whole[0]
    page.mouse.down()
    page.mouse.move(box["x"] + 10, box["y"] + 60)
    page.mouse.up()
    assert frame_of(page)[1] > begin


def test_what_is_in_view_is_there_as_a_table_of_a_bounded_number_of_rows(shown: Callable[..., Page]) -> None:
    page = shown(held(1000))
    page.get_by_text("What is in view, as a table").click()
    rows = page.get_by_role("region", name="What is in view").get_by_role("row")
    rows.nth(1).wait_for()
    assert rows.count() <= 61
    assert "more in view" in page.locator(".listed").inner_text()


def test_the_address_keeps_the_case_and_opens_it_again(shown: Callable[..., Page]) -> None:
    page = shown(LOST, CLEAN)
    page.get_by_role("button", name="counter lock fcntl").click()
    assert page.evaluate("location.hash") == "#run=counter-fcntl-2"
    page = shown(LOST, CLEAN, fragment="run=counter-fcntl-2")
    assert page.locator(".case[aria-pressed=true]").inner_text().splitlines()[1] == "lock fcntl, 2 workers"


def cards(page: Page) -> list[dict[str, float]]:
    """Where the cards of the cases lie in the window."""
    boxes: list[dict[str, float]] = page.locator(".case").evaluate_all(
        "(cases) => cases.map((each) => each.getBoundingClientRect().toJSON())"
    )
    return boxes


def test_a_card_is_as_tall_as_its_own_words(shown: Callable[..., Page]) -> None:
    wordy = replace(LOST, damage=[Damage("a kind of damage with a long name", 1, 3, [])])
    first, second = cards(shown(wordy, CLEAN, phone=True))
    assert first["top"] == second["top"]
    assert first["height"] > second["height"]


def test_a_case_that_is_picked_comes_into_view_where_the_cards_fill_the_window(shown: Callable[..., Page]) -> None:
    page = shown(*[replace(CLEAN, workers=workers) for workers in range(1, 19)], phone=True)
    page.locator(".case").first.click()
    assert 0 <= page.locator(".stage").evaluate("stage => stage.getBoundingClientRect().top") < 100
    page.set_viewport_size(DESKTOP)
    page.locator(".case").last.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    page.locator(".case").last.click()
    assert page.evaluate("scrollY") == before


def test_dates_and_options_are_not_broken_at_their_hyphens(shown: Callable[..., Page]) -> None:
    page = shown(CLEAN, replace(UNLOCKED, verdict="clean", damage=[]), phone=True)
    unbroken = page.locator("#run .whole")
    assert {"2026-01-01", "--record", "--html", "--rounds", "--trials"} <= set(unbroken.all_inner_texts())
    for width in range(300, 400, 9):
        page.set_viewport_size({"width": width, "height": 800})
        assert unbroken.evaluate_all("(all) => all.every((each) => each.getClientRects().length === 1)")


def test_names_are_text_whatever_they_hold(shown: Callable[..., Page]) -> None:
    odd = "</script><img src=x onerror=alert(1)>"
    page = shown(replace(LOST, scenario=odd))
    assert page.locator(".case .what").inner_text() == odd


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_it_passes_axe_and_fits_the_window(
    shown: Callable[..., Page], axe: Callable[..., list[str]], dark: bool, phone: bool
) -> None:
    page = shown(LOST, held(50), CLEAN, dark=dark, phone=phone)
    page.get_by_role("button", name=JUMP).click()
    for summary in page.locator("#run summary").all():
        summary.click()
    assert axe(page, "#run") == []
    assert not scrolls_sideways(page)
