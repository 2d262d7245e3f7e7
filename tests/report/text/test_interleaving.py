from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from lab.records import Step
from lab.report.text.schedule import columns, groups
from tests.report.explored_records import STEPS, step

Row = list[str]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every step one line."""
    monkeypatch.setenv("COLUMNS", "200")


def table(steps: list[Step]) -> list[Row]:
    """The cells of each row, by the columns that the ruled line marks."""
    _, rule, *rows = columns(steps).splitlines()
    places = [match.span() for match in re.finditer("-+", rule)]
    ends = [start for start, _ in places[1:]] + [None]
    return [[row[start:end].strip() for (start, _), end in zip(places, ends, strict=True)] for row in rows]


def cell(one: Step) -> str:
    """What the only worker's column says of one step."""
    return table([one])[0][2]


def piece(number: int, text: str = "07", worker: int = 0, **changes: Any) -> Step:
    """One line of a longer store to a field named record, but for the changes."""
    low = 64 * number
    made = step(worker, "store", text * 64, field=f"record[{low}:{low + 64}]", start=low, length=64)
    return replace(made, **changes)


def test_each_worker_and_the_memory_has_a_column() -> None:
    assert re.split(r"\s{2,}", columns(STEPS).splitlines()[0].strip()) == ["step", "worker 0", "worker 1", "memory"]


def test_each_step_is_a_row_in_the_column_of_its_worker() -> None:
    assert table(STEPS) == [
        ["1", "", "value -> 0", "", ""],
        ["2", "switch >", "", "value -> 0", ""],
        ["3", "", "", "value = 1", "value 1"],
        ["4", ">", "value = 1", "", "value 1"],
    ]


def test_only_workers_that_do_something_have_a_column() -> None:
    assert "worker 1" not in columns([step(0, "load", 0), step(2, "load", 0, turn="free")])


@pytest.mark.parametrize(("turn", "mark"), [("same", ""), ("preempted", "switch >"), ("free", ">")])
def test_a_turn_is_marked_by_how_it_was_come_by_and_the_first_is_no_switch(turn: Any, mark: str) -> None:
    first, second = table([step(1, "load", 0, turn="free"), step(0, "store", 1, turn=turn)])
    assert (first[1], second[1]) == ("", mark)


@pytest.mark.parametrize(
    ("operation", "value", "said"),
    [
        ("lock", "exclusive", "lock value"),
        ("lock", "shared", "lock value (shared)"),
        ("lock", "EDEADLK", "lock value REFUSED (EDEADLK)"),
        ("lock", "waits", "lock value WAITS"),
        ("unlock", None, "unlock value"),
    ],
)
def test_a_lock_says_how_it_came_out(operation: Any, value: str, said: str) -> None:
    assert cell(step(0, operation, value)) == said


def test_only_a_store_changes_the_memory() -> None:
    steps = [step(0, "lock", "exclusive"), step(0, "load", 0), step(0, "store", 1), step(0, "unlock")]
    assert [row[-1] for row in table(steps)] == ["", "", "value 1", ""]


def test_adjoining_pieces_of_one_load_or_store_are_one_row() -> None:
    assert table([piece(0), piece(1), piece(2)]) == [["1-3", "", "record[0:192] = 192 x 07", "record[0:192] 192 x 07"]]
    (row,) = table([piece(0, operation="load"), piece(1, operation="load")])
    assert row[2] == "record[0:128] -> 128 x 07"


@pytest.mark.parametrize(
    "steps",
    [
        [piece(0), piece(0, "08", 1, turn="preempted"), piece(1, turn="free")],
        [piece(0), piece(1, round=1)],
        [piece(0), piece(2)],
        [piece(0, operation="load"), piece(1)],
    ],
    ids=["a switch between", "two rounds", "apart", "a load and a store"],
)
def test_other_pieces_have_a_row_each(steps: list[Step]) -> None:
    assert [row[0] for row in table(steps)] == [f"{number}" for number in range(1, len(steps) + 1)]


def test_numbers_side_by_side_are_separate_values() -> None:
    steps = [step(0, "load", 1, field="a"), step(0, "load", 2, field="b", start=8)]
    assert [row[2] for row in table(steps)] == ["a -> 1", "b -> 2"]


def test_the_rows_hold_every_step_once_and_in_order() -> None:
    steps = [piece(0), piece(1), piece(0, worker=1, turn="preempted"), *STEPS]
    numbered = [each for group in groups(steps) for each in group]
    assert numbered == list(enumerate(steps, 1))


def test_different_bytes_are_shown_by_their_first_few_and_how_many() -> None:
    mixed = step(0, "store", bytes(range(16)).hex(), field="record", length=16)
    assert cell(mixed) == "record = 00 01 02 03.. (16 B)"


def test_a_few_bytes_are_shown_in_full() -> None:
    assert cell(step(0, "store", "0a0b", field="pair", length=2)) == "pair = 0a 0b"


def test_pieces_of_several_fields_are_named_from_the_first_to_the_last() -> None:
    (row,) = table([step(0, "store", "01" * 8, field="a"), step(0, "store", "01" * 8, field="b", start=8)])
    assert row[2] == "a to b = 16 x 01"


@pytest.mark.parametrize("operation", ["load", "store"])
def test_the_moves_of_one_copy_are_one_row_also_where_they_overlap_or_the_end_came_first(operation: Any) -> None:
    def move(low: int, high: int, value: str | int) -> Step:
        field = f"record[{low}:{high}]" if high - low > 1 else f"record[{low}]"
        return step(0, operation, value, field=field, start=low, length=high - low)

    (overlapping,) = table([move(0, 4, "00000000"), move(2, 6, "00000000")])
    (reversed_,) = table([move(1, 4, "010203"), move(0, 1, 9)])
    between = "->" if operation == "load" else "="
    assert overlapping[:3] == ["1-2", "", f"record[0:6] {between} 6 x 00"]
    assert reversed_[:3] == ["1-2", "", f"record[0:4] {between} 09 01 02 03"]
