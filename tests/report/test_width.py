"""Every report fits the width of the output, and uses more of it where there is more."""

from __future__ import annotations

import csv
import re

import pytest

from lab.records import Document
from lab.report.documents import report_of
from lab.report.format import Style
from tests.report import checked_records, chosen_records, explored_records, toured_records
from tests.report.text import test_backings, test_bench, test_compare, test_copying

PASTED = re.compile(r"^\s*(replay: )?(\S*lab|\S+ -m lab) \S+ \S")
"""A line to be pasted, which has the length that it has."""

MANY = [
    explored_records.BROKEN, explored_records.HOLDS, explored_records.UNEXPECTED, explored_records.UNKNOWN,
    explored_records.BROKEN,
]  # fmt: skip
PLACES = [(name, backing) for name in ("set-up", "key") for backing in ("mapped", "sysv")]
LONG = "portalocker-rlock hand-off, 16 workers, disjoint, 10,000 held"
DOCUMENTS: dict[str, Document] = {
    "explore": explored_records.exploration_of(*MANY),
    "explore one": explored_records.exploration_of(explored_records.BROKEN),
    "replay": explored_records.REPRODUCED,
    "bench": test_bench.bench_of(test_bench.cost("hand-off", name=LONG, outliers=[1]), test_bench.cost("queue")),
    "bench of copying": test_copying.bench_of(
        *(test_copying.row("remapped_stream", 4**size, 1e9) for size in range(9)), sizes=tuple(4**n for n in range(9))
    ),
    "compare": test_compare.comparison(test_compare.SLOWER, test_compare.UNSURE, test_compare.FASTER),
    "tour": toured_records.tour_of(toured_records.GRID),
    "locks": chosen_records.compared(*(chosen_records.cells(each, 12.3e6) for each in ("portalocker-rlock", "b"))),
    "one lock": chosen_records.compared(chosen_records.cells("portalocker-rlock", close="no")),
    "backings": test_backings.compared_of(
        *(test_backings.cell(name, backing, "seen by some and not by others") for name, backing in PLACES)
    ),
    "check": checked_records.BROKEN,
}  # fmt: skip


LAID_OUT = 80
"""The width that a check is laid out for."""


def too_long(text: str, width: int) -> list[str]:
    return [line for line in text.splitlines() if len(line) > width and not PASTED.match(line)]


@pytest.mark.parametrize("wide", [False, True], ids=["", "wide"])
@pytest.mark.parametrize(
    ("name", "width"),
    [(name, width) for name in DOCUMENTS for width in (80, 60, 120) if name != "check" or width >= LAID_OUT],
)
def test_no_line_is_longer_than_the_output_is_wide(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch, *, wide: bool
) -> None:
    monkeypatch.setenv("COLUMNS", f"{width}")
    document = DOCUMENTS[name]
    report = report_of(document)
    for full in (False, True):
        assert too_long(report.text(document, Style(wide=wide), full=full), width) == []


def test_a_line_that_is_too_long_is_found() -> None:
    assert too_long(f"{'a ' * 41}\n   lab replay {'L' * 90}\nreplay: lab replay {'L' * 90}", 80) == ["a " * 41]


@pytest.mark.parametrize("name", ["explore", "bench", "compare", "locks", "backings", "tour"])
def test_a_wider_output_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = []
    for width in (60, 120):
        monkeypatch.setenv("COLUMNS", f"{width}")
        longest.append(max(map(len, report_of(DOCUMENTS[name]).text(DOCUMENTS[name]).splitlines())))
    assert longest[1] > longest[0]


@pytest.mark.parametrize("name", ["explore", "bench", "bench of copying", "compare", "locks", "backings"])
def test_for_a_program_every_cell_is_plain_under_a_name_of_its_own(name: str) -> None:
    head, *rows = csv.reader(report_of(DOCUMENTS[name]).text(DOCUMENTS[name], Style("csv")).splitlines())
    assert len(set(head)) == len(head)
    assert all(re.fullmatch(r"[a-z][a-z0-9_-]*", title) for title in head)
    assert {len(row) for row in rows} == {len(head)}
    in_ns = [row[at] for row in rows for at, title in enumerate(head) if title.endswith("_ns")]
    assert [cell for cell in in_ns if cell and float(cell) < 0] == []
