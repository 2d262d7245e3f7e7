from __future__ import annotations

from dataclasses import replace

import pytest

from lab.report.text.tour import NOTATION, complaints, exit_code, heading, step_text, summary, text_of
from tests.report.toured_records import GRID, seen, step, tour_of, with_a_difference

LONG = "of many words that do not fit on one line of a hundred columns " * 4


def test_a_heading_tells_filesystem_kernel_machine_and_page_and_then_the_notation() -> None:
    where, *notation = heading(tour_of()).splitlines()
    assert where == "ext4 on Linux 6.18, x86_64; page = 65,536 bytes"
    assert " ".join(notation) == NOTATION


def test_a_step_is_its_number_name_and_claim_then_an_aligned_table() -> None:
    text = step_text(step(seen("mmap(NULL, 1)", "works"), seen("c = data[0]", "'a'"), number=3, name="third"))
    assert text.splitlines() == [
        " 3  third: The claim of third.",
        "",
        "    call           expected  observed",
        "    -------------  --------  --------",
        "    mmap(NULL, 1)  works     works",
        "    c = data[0]    'a'       'a'",
    ]


def test_what_has_a_place_in_a_table_stands_there_before_the_rest_and_the_note() -> None:
    assert step_text(GRID).splitlines() == [
        " 1  grid: The claim of grid.",
        "",
        "       read   write",
        "    -  -----  -----",
        "    r  works  works",
        "    w  works  works",
        "",
        "    call    expected  observed",
        "    ------  --------  --------",
        "    load()  'a'       'a'",
        "",
        "    A note.",
    ]


def test_a_place_of_the_table_that_nothing_was_seen_for_is_a_dash() -> None:
    text = step_text(step(seen("x", "works", at=("r", "read")), seen("x", "works", at=("w", "write"))))
    assert [line.split() for line in text.splitlines()[-2:]] == [["r", "works", "-"], ["w", "-", "works"]]


@pytest.mark.parametrize(
    ("index", "line"),
    [(1, "    r  works  EIO <- DIFFERS from works"), (4, "    load()  'a'       EIO  <- DIFFERS")],
)
def test_what_differs_is_marked_where_it_stands(index: int, line: str) -> None:
    text = step_text(with_a_difference(GRID, index))
    assert [each for each in text.splitlines() if "DIFFERS" in each] == [line]
    assert "DIFFERS" not in step_text(GRID)


def test_the_end_tells_what_differs_or_how_much_does_not() -> None:
    assert text_of(tour_of(GRID)).splitlines()[-1] == "As the tutorial claims: 1 step, 5 observations."
    broken = tour_of(step(seen("x", "y")), with_a_difference(GRID, 0))
    assert text_of(broken).splitlines()[-1] == "This system DIFFERS from the tutorial in grid."


def test_a_check_has_a_line_a_step() -> None:
    assert summary(tour_of(step(seen("x", "y")), with_a_difference(GRID, 0))).splitlines() == [
        "ok        1  one   1 of 1 as claimed",
        "DIFFERS   1  grid  4 of 5 as claimed",
    ]


def test_each_difference_is_complained_of_in_one_line_with_step_call_expected_and_observed() -> None:
    broken = tour_of(with_a_difference(with_a_difference(GRID, 1), 4))
    assert list(complaints(broken)) == [
        "step 1 grid: r: mmap(): the tutorial expects works, observed EIO",
        "step 1 grid: load(): the tutorial expects 'a', observed EIO",
    ]
    assert list(complaints(tour_of(GRID))) == []


def test_the_exit_code_of_a_check_is_1_where_anything_differs() -> None:
    assert (exit_code(tour_of(GRID)), exit_code(tour_of(GRID, with_a_difference(GRID, 4)))) == (0, 1)


def test_claims_and_notes_are_folded_at_a_hundred_columns() -> None:
    text = step_text(replace(step(seen("x", "y")), claim=LONG, note=LONG))
    assert max(map(len, text.splitlines())) <= 100
