from __future__ import annotations

import re

from lab.records import BackingSurvey, Cell, Property
from lab.report.documents import report_of
from lab.report.format import Style
from lab.report.text.backings import complaints, exit_code, text_of
from tests.report.records import header
from tests.report.toured_records import HERE


def compared_of(*cells: Cell, properties: tuple[str, ...] = ("set-up", "key")) -> BackingSurvey:
    rows = [Property(name, f"how {name} is seen") for name in properties]
    backings = ["mapped", "sysv"]
    return BackingSurvey(**header(HERE), directory="/mnt", backings=backings, properties=rows, cells=list(cells))


def cell(name: str, backing: str, observed: str, *, ok: bool = True) -> Cell:
    return Cell(name, backing, "expected", observed, ok)


WHOLE = [cell(name, backing, "seen") for name in ("set-up", "key") for backing in ("mapped", "sysv")]
REFUSED = [
    *WHOLE[:1],
    cell("set-up", "sysv", "ENOSYS", ok=False),
    *WHOLE[2:3],
    cell("key", "sysv", "refused", ok=False),
]


def test_a_cell_that_is_missing_is_a_dash() -> None:
    lines = text_of(compared_of(*WHOLE[:3]), Style("pipe")).splitlines()
    assert [line.replace(" ", "") for line in lines[:1] + lines[2:]] == [
        "|property|mapped|sysv|", "|set-up|seen|seen|", "|key|seen|-|",
    ]  # fmt: skip


def test_for_a_program_there_is_a_row_for_each_cell() -> None:
    head, *rows = text_of(compared_of(*WHOLE[:2], cell("key", "sysv", "other", ok=False)), Style("csv")).splitlines()
    assert head == "property,backing,observed,expected,as_expected"
    assert rows[1:] == ["set-up,sysv,seen,expected,True", "key,sysv,other,expected,False"]


def test_the_conclusion_says_where_bytes_are_shared_stay_and_can_be_locked() -> None:
    found = [cell("seen by others", "mapped", "yes"), cell("seen by others", "sysv", "by children")]
    found += [cell("persistence", each, "stays") for each in ("mapped", "sysv")]
    *_, last = text_of(compared_of(*found, properties=("seen by others", "persistence"))).split("\n\n")
    assert last.splitlines() == [
        "Any process can see what is stored in mapped.",
        "The bytes outlive the processes in mapped and sysv.",
        "All 4 cells are as expected.",
    ]


def test_a_document_without_rows_is_still_told() -> None:
    assert text_of(compared_of(properties=()))


def test_a_backing_that_was_refused_is_complained_of_in_a_line_and_ends_with_3() -> None:
    run = compared_of(*REFUSED)
    assert complaints(run) == ["backing sysv: refused at its set-up (ENOSYS); see docs/backings.md for what it needs"]
    assert (exit_code(run), exit_code(compared_of(*WHOLE))) == (3, 0)


def test_a_difference_is_no_failure() -> None:
    run = compared_of(*WHOLE[:3], cell("key", "sysv", "another", ok=False))
    assert (complaints(run), exit_code(run)) == ([], 0)
    assert text_of(run).splitlines()[-1] == "! key of sysv: expected expected, seen here: another"


def test_the_colour_of_a_difference_ends_with_its_cell() -> None:
    run = compared_of(cell("set-up", "mapped", "not it at all", ok=False), *WHOLE[1:])
    (pattern,) = report_of(run).colours
    found = [found[0] for found in re.finditer(pattern, text_of(run))]
    assert found == ["! not it at all", "! set-up of mapped: expected expected, seen here: not it at all"]
