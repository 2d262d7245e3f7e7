from __future__ import annotations

from itertools import combinations
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis import holds as module
from lab.analysis.holds import END, KEPT, Exclusion, Hold, Overlap, Span, sweep

FAR = 1 << 40

spans = st.builds(Span, st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1), st.booleans())
near_spans = st.builds(Span, st.integers(0, 12), st.sampled_from([0, 1, 2, 3, 8]), st.booleans())


@st.composite
def hold(draw: st.DrawFn, span: st.SearchStrategy[Span]) -> Hold:
    requested = draw(st.integers(1, 40))
    granted = requested + draw(st.integers(0, 10))
    released = granted + draw(st.integers(0, 10))
    return Hold(granted, released, requested, draw(st.integers(0, 3)), draw(span).pack())


@st.composite
def orderly_holds(draw: st.DrawFn) -> list[Hold]:
    """Holds of one written range, one after the other, as a lock that works leaves them."""
    word = Span(draw(st.integers(0, 8)), draw(st.integers(0, 8)), write=True).pack()
    time = 100
    made = []
    for _ in range(draw(st.integers(0, 12))):
        granted = time + draw(st.integers(0, 3))
        time = granted + draw(st.integers(0, 5))
        made.append(Hold(granted, time, granted - draw(st.integers(0, 30)), draw(st.integers(0, 3)), word))
    return made


def hold_of(worker: int, requested: int, granted: int, released: int, span: Span) -> Hold:
    return Hold(granted, released, requested, worker, span.pack())


def bytes_of(span: Span) -> range:
    return range(span.start, span.start + span.length if span.length else FAR)


def may_not_meet(one: Hold, other: Hold) -> bool:
    """By the definition of fcntl(2), from the sets of bytes."""
    a, b = Span.unpack(one.word), Span.unpack(other.word)
    share = bool(range(max(bytes_of(a).start, bytes_of(b).start), min(bytes_of(a).stop, bytes_of(b).stop)))
    return one.worker != other.worker and share and (a.write or b.write)


def by_brute_force(holds: list[Hold]) -> tuple[list[tuple[Hold, ...]], int]:
    """Every pair against every pair: the overlapping ones in a fixed order, and the contended requests."""
    overlaps = [
        tuple(sorted((one, other)))
        for one, other in combinations(holds, 2)
        if may_not_meet(one, other) and max(one.granted_ns, other.granted_ns) < min(one.released_ns, other.released_ns)
    ]
    contended = sum(
        any(
            may_not_meet(asks, holds_it) and holds_it.granted_ns <= asks.requested_ns < holds_it.released_ns
            for holds_it in holds
        )
        for asks in holds
    )
    return sorted(overlaps), contended


def found(exclusion: Exclusion) -> tuple[list[tuple[Hold, ...]], int]:
    return sorted(tuple(sorted(pair[:2])) for pair in exclusion.overlaps), exclusion.contended


@given(spans)
def test_a_span_comes_back_from_its_word(span: Span) -> None:
    word = span.pack()
    assert 0 <= word < 2**64
    assert Span.unpack(word) == span


@pytest.mark.parametrize("span", [Span(2**32, 1, True), Span(0, 2**31, True), Span(-1, 1, True)])
def test_a_span_too_large_for_a_record_is_refused(span: Span) -> None:
    with pytest.raises(ValueError, match="does not fit a record"):
        span.pack()


@given(near_spans, near_spans)
def test_spans_conflict_when_they_share_a_byte_and_one_writes(one: Span, other: Span) -> None:
    share = bool(set(bytes_of(one)[:50]) & set(bytes_of(other)[:50]))
    assert one.conflicts(other) is (share and (one.write or other.write))


def test_length_0_conflicts_with_the_furthest_byte() -> None:
    assert Span(7, 0, write=True).conflicts(Span(2**32 - 1, 1, write=False))
    assert Span(7, 0, write=True).end == END


@given(st.lists(hold(near_spans), max_size=12))
def test_the_sweep_finds_what_brute_force_finds(holds: list[Hold]) -> None:
    assert found(sweep(holds)) == by_brute_force(holds)


@given(st.lists(hold(st.just(Span(3, 4, write=True))), max_size=12))
def test_the_sweep_of_one_written_range_finds_what_brute_force_finds(holds: list[Hold]) -> None:
    assert found(sweep(holds)) == by_brute_force(holds)


@given(orderly_holds())
def test_orderly_holds_are_clean_and_their_contended_requests_all_counted(holds: list[Hold]) -> None:
    assert found(sweep(holds)) == ([], by_brute_force(holds)[1])


@given(orderly_holds())
def test_both_paths_count_the_same_contended_requests(holds: list[Hold]) -> None:
    reader = hold_of(9, 1, 1, 1, Span(0, 0, write=False))  # meets nobody; one reader rules out the fast path
    assert sweep([*holds, reader]).contended == sweep(holds).contended


@given(st.lists(hold(near_spans), max_size=12), st.randoms())
def test_the_order_in_which_holds_come_does_not_matter(holds: list[Hold], random: Random) -> None:
    shuffled = list(holds)
    random.shuffle(shuffled)
    assert found(sweep(shuffled)) == found(sweep(holds))


@given(orderly_holds(), st.integers(0, 3), st.booleans())
def test_a_planted_overlap_is_seen(holds: list[Hold], worker: int, write: bool) -> None:
    """The negative control: among clean holds, one worker let in beside another."""
    word = holds[0].word if holds else Span(0, 8, write=True).pack()
    span = Span.unpack(word)
    victim = Hold(1_000, 1_010, 990, worker, word)
    intruder = Hold(1_009, 1_020, 1_005, worker + 1, Span(span.start, 1, write).pack())
    assert found(sweep([*holds, victim, intruder]))[0] == [(victim, intruder)]


def test_an_overlap_names_the_holder_first() -> None:
    holder, intruder = hold_of(0, 10, 20, 40, WRITE), hold_of(1, 25, 30, 35, WRITE)
    assert sweep([intruder, holder]).overlaps == [Overlap(holder, intruder)]


WRITE, READ = Span(0, 8, write=True), Span(0, 8, write=False)


@pytest.mark.parametrize(
    ("holds", "contended"),
    [
        ([], 0),
        ([hold_of(0, 1, 10, 20, WRITE), hold_of(1, 15, 20, 30, WRITE)], 1),
        ([hold_of(0, 1, 10, 20, WRITE), hold_of(0, 12, 15, 30, WRITE)], 0),
        ([hold_of(0, 1, 10, 10, WRITE), hold_of(1, 5, 10, 30, WRITE)], 0),
        ([hold_of(0, 1, 10, 20, READ), hold_of(1, 15, 20, 30, READ)], 0),
    ],
    ids=["none", "granted at the release", "a worker's own", "never given back", "readers"],
)
def test_holds_that_do_not_overlap(holds: list[Hold], contended: int) -> None:
    assert sweep(iter(holds)) == Exclusion(overlaps=[], contended=contended)


def test_a_request_at_the_moment_of_the_grant_is_contended_on_both_paths() -> None:
    span = Span(0, 8, write=True)
    holds = [hold_of(0, 1, 10, 20, span), hold_of(1, 10, 20, 30, span)]
    reader = hold_of(2, 40, 40, 50, Span(0, 8, write=False))
    assert sweep(holds).contended == sweep([*holds, reader]).contended == 1


def test_readers_together_are_no_overlap_but_a_writer_among_them_meets_each() -> None:
    readers = [hold_of(worker, 1, 10, 30, Span(0, 8, write=False)) for worker in range(3)]
    writer = hold_of(3, 15, 20, 40, Span(4, 1, write=True))
    assert sweep(readers) == Exclusion([], 0)
    assert found(sweep([*readers, writer])) == (sorted((reader, writer) for reader in readers), 1)


def test_the_first_thousand_overlaps_are_kept_and_all_are_counted() -> None:
    span = Span(0, 8, write=True)
    holds = [hold_of(number % 2, number, number, number + 2, span) for number in range(1, 2 * KEPT + 2)]
    exclusion = sweep(holds)
    assert (len(exclusion.overlaps), exclusion.overlapping) == (KEPT, 2 * KEPT)
    assert exclusion.overlaps[0] == Overlap(holds[0], holds[1])


@given(st.lists(hold(near_spans), max_size=12))
def test_the_count_of_overlaps_does_not_depend_on_how_many_are_kept(holds: list[Hold]) -> None:
    with patch.object(module, "KEPT", 1):
        assert sweep(holds).overlapping == len(by_brute_force(holds)[0])
