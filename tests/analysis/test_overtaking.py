from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.analysis.holds import STARVED_GRANTS, STARVED_NS, Overtaking, Row, Span, overtaking

WRITE, READ, APART = (span.pack() for span in (Span(0, 8, True), Span(0, 8, False), Span(8, 8, True)))
MS = 1_000_000


def by_definition(rows: list[Row]) -> int:
    """The most conflicting grants before one that was requested earlier."""
    return max(
        (
            sum(
                row[2] < other[2] and other[0] < row[0] and Span.unpack(row[4]).conflicts(Span.unpack(other[4]))
                for other in rows
            )
            for row in rows
        ),
        default=0,
    )


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from([WRITE, READ, APART])), max_size=30))
def test_the_count_is_that_of_the_definition(asked: list[tuple[int, int, int]]) -> None:
    """Times are made distinct, as those of a clock in ns are."""
    rows = []
    for number, (requested_ns, waited_ns, word) in enumerate(asked):
        requested = 100 * requested_ns + number
        granted = requested + 100 * waited_ns
        rows.append((granted, granted + 1, requested, number % 3, word))
    assert overtaking(rows, 2, 0).most == by_definition(rows)


def waits(later: int, waited_ns: int, word: int) -> list[Row]:
    """A writer waits while so many later requests of this kind are granted, one after the other."""
    step = waited_ns // (later + 1)
    others = [(step * number, step * number + 1, step * number - 1, 1, word) for number in range(1, later + 1)]
    return [(waited_ns, waited_ns + 1, 0, 0, WRITE), *others]


def test_who_waits_long_while_many_later_ones_are_granted_has_starved() -> None:
    many = 2 * STARVED_GRANTS + 1
    long_ns = 3 * STARVED_NS
    assert overtaking(waits(many, long_ns, READ), 2, long_ns) == Overtaking(many, 1, 1, long_ns)
    assert overtaking(waits(many - 1, long_ns, READ), 2, long_ns).starved == 0, "too few grants"
    assert overtaking(waits(many, long_ns, READ), 2, 2 * long_ns).starved == 0, "too short a part of the trial"
    assert overtaking(waits(many, STARVED_NS, READ), 2, STARVED_NS).starved == 0, "too short a time"
    assert overtaking(waits(many, long_ns, APART), 2, long_ns).most == 0, "of another range"


def test_of_no_hold_nothing_is_known() -> None:
    assert overtaking([], 4, 100 * MS) == Overtaking(0, 0, None, None)
