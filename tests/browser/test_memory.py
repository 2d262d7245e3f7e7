"""Section 1: the model behind it holds against a real file, and what is told on the page is what the model did."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.mapped_file import perform
from tests.helpers import in_fresh_process

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CALLS = 400

DRIVE = """([seed, calls]) => {
  const { Memory, PAGE, PAGES } = Lab.memory;
  const LENGTH = PAGE * PAGES;
  const model = new Memory();
  const draw = () => {  // mulberry32
    seed = (seed + 0x6D2B79F5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const below = (limit) => Math.floor(draw() * limit);
  const one = (all) => all[below(all.length)];
  const call = () => {
    const verb = one(["map", "unmap", "load", "load", "store", "store", "store", "store", "read", "write"]);
    const byte = 97 + below(26);
    if (verb === "read") return [verb, below(LENGTH)];
    if (verb === "write") return [verb, below(model.size), byte];
    const who = one("AB");
    const { mapping } = model.processes[who];
    if (verb === "map" || !mapping) {
      return ["map", who, { shared: draw() < 0.6, writable: draw() < 0.8, offset: one([0, 0, 16, 5]) }];
    }
    if (verb === "unmap") return [verb, who];
    const index = draw() < 0.85 ? below(model.reach - mapping.offset) : below(mapping.length);
    return verb === "store" ? [verb, who, index, byte] : [verb, who, index];
  };
  const made = ([verb, ...args]) => {
    const answer = model[verb](...args);
    const file = Array.from({ length: LENGTH }, (_, at) => model.read(at));
    return { answer: answer === "copied" ? "ok" : answer, file, A: model.seen("A"), B: model.seen("B") };
  };
  return Array.from({ length: calls }, () => { const next = call(); return [next, made(next)]; });
}"""
"""Calls drawn at random, such as make sense (of a process without a mapping only map), and what the model has then."""


@pytest.fixture
def page(open_page: OpenPage, lab_page: Path) -> Page:
    return open_page(lab_page)


def real_looks(folder: str, text: str, dramas: list[list[list[Any]]]) -> list[list[dict[str, Any]]]:
    """The same calls on a real file, several times from the start."""
    return [perform(folder, text, calls) for calls in dramas]


def test_the_model_comes_to_what_real_processes_come_to_with_a_real_file(page: Page, tmp_path: Path) -> None:
    modelled = [page.evaluate(DRIVE, [seed, CALLS]) for seed in range(4)]
    answers = {str(look["answer"]) for drama in modelled for _, look in drama}
    assert answers >= {"ok", "EINVAL", "SIGSEGV", "SIGBUS", "-1", "0"}
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)  # noqa: S108 - nothing is written back
    text = page.evaluate("Lab.memory.TEXT")
    dramas = [[call for call, _ in drama] for drama in modelled]
    real = in_fresh_process(real_looks, in_memory, text, dramas)
    for drama, found in zip(modelled, real, strict=True):
        for number, ((call, look), seen) in enumerate(zip(drama, found, strict=True)):
            assert look == seen, f"call {number}, {call}, after {drama[max(0, number - 5) : number]}"


def cell(page: Page, row: str, at: int) -> Locator:
    """The byte at that offset of the file: in its own row, or in that of a process."""
    label = "The file" if row == "file" else f"Process {row}: its mapping"
    return page.get_by_role("group", name=label, exact=True).locator(".cell").nth(at)


def sentence(page: Page) -> str:
    return page.locator("#tutorial .speech .verdict").inner_text()


def write(page: Page, row: str, at: int, character: str) -> str:
    cell(page, row, at).focus()
    page.keyboard.press(character)
    return sentence(page)


def texts(page: Page, at: int) -> list[str]:
    return [cell(page, row, at).inner_text() for row in ("file", "A", "B")]


def test_a_click_reads_a_byte_as_peek_does(page: Page) -> None:
    cell(page, "A", 4).click()
    assert sentence(page) == "A: c = data[4]. The byte at offset 4 is 'p'."
    cell(page, "file", 30).click()
    assert sentence(page) == "read() at offset 30 gives nothing: the file ends at 27."


def test_a_store_through_a_shared_mapping_is_seen_by_the_other_process_and_the_file(page: Page) -> None:
    told = write(page, "A", 4, "Q")
    assert told == "A: data[4] = 'Q'. A shared mapping is the file: read() finds it at offset 4, and so does B."
    assert texts(page, 4) == ["Q", "Q", "Q"]
    assert page.locator(".cell.changed").count() == 3


def test_the_first_store_through_a_private_mapping_copies_the_page(page: Page) -> None:
    page.select_option("#flags-B", "p")
    assert "copy of its own (copy-on-write)" in write(page, "B", 4, "Q")
    assert texts(page, 4) == ["p", "p", "Q"]
    assert page.locator("#tutorial .page.own").count() == 1
    write(page, "A", 4, "R")
    assert texts(page, 4) == ["R", "R", "Q"]
    write(page, "A", 20, "S")
    assert texts(page, 20) == ["S", "S", "S"]
    assert "B's own copy of the page: nobody else sees it" in write(page, "B", 5, "T")
    page.locator(".process", has_text="Process B").get_by_role("button", name="Unmap").click()
    assert sentence(page).endswith("the copies that B had made are gone.")


def test_behind_the_end_of_the_file_the_last_page_reads_as_zero_and_is_not_written_back(page: Page) -> None:
    cell(page, "A", 28).click()
    assert sentence(page).endswith("it reads as '\\0'.")
    assert "B sees it, read() does not, and it is not written back" in write(page, "A", 28, "z")
    assert texts(page, 28) == ["", "z", "z"]


def test_a_whole_page_behind_the_end_is_sigbus_and_a_store_to_what_is_read_only_sigsegv(page: Page) -> None:
    cell(page, "A", 40).click()
    assert sentence(page).startswith("SIGBUS: ")
    assert page.locator(".process", has_text="Process A").get_by_text("killed by SIGBUS").is_visible()
    assert cell(page, "A", 0).is_disabled()
    page.keyboard.press("Enter")
    assert cell(page, "A", 0).is_enabled()
    page.select_option("#prot-B", "r")
    assert write(page, "B", 0, "x").startswith("SIGSEGV: ")
    assert cell(page, "A", 0).inner_text() == "T"


def test_an_offset_that_is_not_page_aligned_fails_and_one_that_is_moves_data_0(page: Page) -> None:
    page.select_option("#offset-A", "5")
    assert "errno EINVAL" in sentence(page)
    assert cell(page, "A", 20).is_disabled()
    page.select_option("#offset-A", "1")
    page.locator(".process", has_text="Process A").get_by_role("button", name="Map", exact=True).click()
    cell(page, "A", 16).click()
    assert sentence(page) == "A: c = data[0]. The byte at offset 16 is 'p'."
    assert cell(page, "A", 15).is_disabled()
    assert page.locator("#tutorial .strip .cell[tabindex='0']:enabled").count() == 3


def test_who_predicts_is_asked_first_and_then_told(page: Page) -> None:
    page.locator("#predict").check()
    write(page, "A", 28, "z")
    assert cell(page, "A", 28).inner_text() == "\\0"
    page.get_by_role("button", name="Whoever reads the file or shares the page").click()
    assert sentence(page).startswith(
        "Not quite: whoever shares the page, but nobody who reads the file. A: data[28] = 'z'"
    )
    assert cell(page, "A", 28).inner_text() == "z"
    write(page, "B", 3, "z")
    page.get_by_role("button", name="Whoever reads the file or shares the page").click()
    assert sentence(page).startswith("Right. ")


def test_the_buttons_write_where_there_is_no_keyboard(page: Page) -> None:
    cell(page, "A", 3).click()
    page.locator("#typed").fill("-")
    page.get_by_role("button", name="Write", exact=True).click()
    assert texts(page, 3) == ["-", "-", "-"]
    page.get_by_role("button", name="Start over").click()
    assert texts(page, 3) == ["␣", "␣", "␣"]


def test_arrows_walk_over_the_bytes_which_are_one_tab_stop(page: Page) -> None:
    cell(page, "A", 0).focus()
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft", "Home", "ArrowRight"):
        page.keyboard.press(key)
    assert page.locator("#tutorial .target").inner_text() == "Chosen: A, data[1]"
    assert page.locator("#tutorial .strip .cell[tabindex='0']").count() == 3
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "flags-B"


def test_how_the_file_is_mapped_is_in_the_link(open_page: OpenPage, lab_page: Path, page: Page) -> None:
    assert page.evaluate("location.hash") == ""
    page.select_option("#flags-A", "p")
    page.locator(".process", has_text="Process B").get_by_role("button", name="Unmap").click()
    fragment = page.evaluate("location.hash.slice(1)")
    again = open_page(lab_page, fragment)
    assert again.locator("#flags-A").input_value() == "p"
    assert cell(again, "B", 0).is_disabled()
    assert "copy-on-write" in write(again, "A", 0, "x")
