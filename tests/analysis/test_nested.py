"""Holds inside one another: until when each of them really kept the others out."""

from __future__ import annotations

import pytest

from lab.analysis.holds import Nested, Row, Span, as_held, sweep

READ, WRITE = Span(0, 8, write=False), Span(0, 8, write=True)
FAR = Span(64, 8, write=True)


def row(requested: int, granted: int, released: int, span: Span, worker: int = 0) -> Row:
    return granted, released, requested, worker, span.pack()


def ends(nested: Nested, *rows: Row) -> list[int]:
    """When each hold was released, with every other field as it was."""
    held = as_held(rows, nested)
    assert [(h[0], *h[2:]) for h in held] == [(r[0], *r[2:]) for r in rows]
    return [each[1] for each in held]


@pytest.mark.parametrize(
    ("nested", "outer", "inner", "end"),
    [
        (Nested.CONVERTED, READ, WRITE, 10),  # at the request: flock(2) removes the shared lock first
        (Nested.CONVERTED, READ, READ, 40),
        (Nested.CONVERTED, WRITE, READ, 40),
        (Nested.CONVERTED, WRITE, WRITE, 40),
        (Nested.CONVERTED, READ, FAR, 10),  # flock has no ranges
        (Nested.REPLACED, READ, WRITE, 30),  # the inner unlock frees the bytes
        (Nested.REPLACED, WRITE, WRITE, 30),
        (Nested.REPLACED, WRITE, READ, 10),  # a downgrade lets readers in
        (Nested.REPLACED, READ, FAR, 40),
        (Nested.KEPT, READ, WRITE, 40),
    ],
)
def test_an_inner_request_ends_an_outer_hold(nested: Nested, outer: Span, inner: Span, end: int) -> None:
    assert ends(nested, row(1, 2, 40, outer), row(10, 20, 30, inner)) == [end, 30]


def test_one_after_the_other_are_as_they_were() -> None:
    for nested in Nested:
        assert ends(nested, row(1, 2, 5, READ), row(6, 7, 9, WRITE), row(9, 10, 12, READ)) == [5, 9, 12]


def test_all_shared_holds_of_a_worker_end_where_it_converts_and_those_of_others_do_not() -> None:
    mine = row(1, 2, 40, READ), row(3, 4, 35, READ), row(10, 20, 30, WRITE)
    assert ends(Nested.CONVERTED, *mine, row(1, 2, 40, READ, worker=1)) == [10, 10, 30, 40]


def test_a_conversion_that_still_waits_has_ended_the_shared_hold() -> None:
    assert ends(Nested.CONVERTED, row(1, 2, 0, READ), row(10, 0, 0, WRITE)) == [10, 0]
    assert ends(Nested.REPLACED, row(1, 2, 0, READ), row(10, 0, 0, WRITE)) == [0, 0]


def test_two_readers_that_convert_one_after_the_other_do_not_overlap() -> None:
    first = row(1, 2, 90, READ), row(10, 40, 80, WRITE)  # waits for the second one, which was quicker
    second = row(3, 4, 38, READ, worker=1), row(12, 13, 36, WRITE, worker=1)
    assert sweep([*first, *second]).overlapping > 0
    assert sweep(as_held([*first, *second], Nested.CONVERTED)).overlapping == 0


def test_holds_that_really_overlap_are_still_found() -> None:
    first = row(1, 2, 90, READ), row(10, 20, 80, WRITE)
    second = row(3, 4, 70, READ, worker=1), row(30, 31, 60, WRITE, worker=1)
    assert sweep(as_held([*first, *second], Nested.CONVERTED)).overlapping > 0
