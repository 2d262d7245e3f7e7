"""Holds of several hosts: nothing is reported that did not happen, whatever their clocks show within the bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis.between_hosts import Stamped, judge, met
from lab.analysis.holds import Span
from lab.hosts.clocks import DRIFT, Clock, offset

WORDS = [Span(0, 8, True).pack(), Span(0, 8, False).pack(), Span(16, 8, True).pack()]
WORKERS_OF_A_HOST = 2


@dataclass(frozen=True)
class True_:  # noqa: N801 - what is true
    """A hold as it really was, in ns of this machine's clock."""

    host: int
    worker: int
    word: int
    requested: int
    granted: int
    released: int

    def conflicts(self, other: True_) -> bool:
        return self.worker != other.worker and Span.unpack(self.word).conflicts(Span.unpack(other.word))


@dataclass(frozen=True)
class Ahead:
    """A clock that is ahead by so much and drifts: ns, and parts of 1."""

    ns: int
    drift: float

    def shows(self, moment: int) -> int:
        return moment + self.ns + round(self.drift * moment)


aheads = st.builds(Ahead, st.integers(-(10**13), 10**13), st.floats(-0.99 * DRIFT, 0.99 * DRIFT))
delays = st.tuples(st.integers(0, 400_000), st.integers(0, 400_000))
measured = st.lists(st.tuples(st.integers(0, 10**9), st.lists(delays, min_size=1, max_size=3)), min_size=1, max_size=3)


def clock_of(ahead: Ahead, measurements: Sequence[tuple[int, list[tuple[int, int]]]]) -> Clock:
    """The clock of a host as pings at these moments, each with its delays there and back, bound it."""
    return Clock(
        [
            offset([(at, ahead.shows(at + there), at + there + back) for there, back in pings])
            for at, pings in measurements
        ]
    )


@st.composite
def races(draw: st.DrawFn) -> tuple[list[True_], list[Ahead], list[Clock]]:
    """Holds of two or three hosts as they were, and the clocks as they are and as they are known."""
    hosts = draw(st.integers(2, 3))
    holds = []
    for worker in range(hosts * WORKERS_OF_A_HOST):
        now = draw(st.integers(0, 2_000_000))
        for _ in range(draw(st.integers(0, 3))):
            waits, lasts, pause = (draw(st.integers(1, most)) for most in (500_000, 1_500_000, 500_000))
            word = draw(st.sampled_from(WORDS))
            holds.append(True_(worker % hosts, worker, word, now, now + waits, now + waits + lasts))
            now += waits + lasts + pause + 1
    ahead = [draw(aheads) for _ in range(hosts)]
    return holds, ahead, [clock_of(each, draw(measured)) for each in ahead]


def stamped(hold: True_, ahead: Ahead, clock: Clock, tickets: tuple[int, int] | None = None) -> Stamped:
    requested, granted, released = (ahead.shows(each) for each in (hold.requested, hold.granted, hold.released))
    row = (granted, released, requested, hold.worker, hold.word)
    return Stamped(row, hold.host, clock.when(requested), clock.when(granted), clock.when(released), tickets)


def drawn(holds: Sequence[True_]) -> list[tuple[int, int]]:
    """The two tickets of each hold, where both are drawn at its ends."""
    ends = [(hold.released, 0, place) for place, hold in enumerate(holds)]
    moments = sorted(ends + [(hold.granted, 1, place) for place, hold in enumerate(holds)])
    numbers: list[list[int]] = [[] for _ in holds]
    for number, (_, _, place) in enumerate(moments, 1):
        numbers[place].append(number)
    return [(first, second) for first, second in numbers]


@given(aheads, measured, st.integers(-(10**9), 2 * 10**9))
def test_the_moment_of_a_stamp_lies_within_its_bounds(ahead: Ahead, measurements: list[object], moment: int) -> None:
    clock = clock_of(ahead, measurements)  # type: ignore[arg-type]
    window = clock.when(ahead.shows(moment))
    assert window.earliest <= moment <= window.latest
    assert clock.when(clock.shows(moment)).earliest <= moment <= clock.when(clock.shows(moment)).latest


@pytest.mark.parametrize("with_tickets", [False, True])
@given(race=races())
def test_only_what_happened_is_reported(race: tuple[list[True_], list[Ahead], list[Clock]], with_tickets: bool) -> None:
    holds, ahead, clocks = race
    tickets = drawn(holds)
    rows = [
        stamped(hold, ahead[hold.host], clocks[hold.host], pair if with_tickets else None)
        for hold, pair in zip(holds, tickets, strict=True)
    ]
    exclusion, between = judge(rows)
    together = [
        (one, other)
        for one, other in combinations(holds, 2)
        if one.conflicts(other) and max(one.granted, other.granted) < min(one.released, other.released)
    ]
    assert exclusion.overlapping == len(exclusion.overlaps) <= len(together)
    pairs = {frozenset((one.worker, other.worker)) for one, other in together}
    assert {frozenset((first.worker, second.worker)) for first, second, _ in exclusion.overlaps} <= pairs
    alike = [(one, other) for one, other in together if one.host == other.host]
    assert exclusion.overlapping >= len(alike)
    if with_tickets:
        by_ticket = [
            1
            for (one, first), (other, second) in combinations(zip(holds, tickets, strict=True), 2)
            if one.conflicts(other) and max(first[0], second[0]) < min(first[1], second[1])
        ]
        assert exclusion.overlapping >= len(by_ticket)
    for found in met([row._replace(tickets=None) for row in rows] if together else rows):
        asking = holds[[row.row for row in rows].index(found.row)]
        assert any(_waits_for(asking, hold) for hold in holds)
    assert exclusion.contended == len(met(rows))
    most = sum(changes(holds, words) for words in (WORDS[:2], WORDS[2:]))
    assert between.hand_offs == most if between.by_tickets else between.hand_offs <= most
    assert between.by_tickets == (with_tickets and bool(holds))


def _waits_for(asking: True_, hold: True_) -> bool:
    """Whether it waited, or asked, while the other was held on another host."""
    end = max(asking.granted, asking.requested + 1)
    return (
        asking.conflicts(hold)
        and hold.host != asking.host
        and max(asking.requested, hold.granted) < min(end, hold.released)
    )


@st.composite
def turns(draw: st.DrawFn) -> tuple[list[True_], list[Ahead], list[Clock]]:
    """Holds of two hosts, one after the other, each asked for at any time after the worker's last one."""
    now, away, holds = 0, dict.fromkeys(range(4), 0), []
    for _ in range(draw(st.integers(0, 12))):
        worker, pause, lasts = draw(st.integers(0, 3)), draw(st.integers(1, 90_000)), draw(st.integers(1, 90_000))
        now += pause
        asked = draw(st.integers(away[worker], now))
        holds.append(True_(worker % 2, worker, WORDS[0], asked, now, now + lasts))
        now += lasts
        away[worker] = now + 1
    ahead = [draw(aheads) for _ in range(2)]
    return holds, ahead, [clock_of(each, draw(measured)) for each in ahead]


@given(race=turns())
def test_by_tickets_a_request_met_a_holder_only_if_it_did(race: tuple[list[True_], list[Ahead], list[Clock]]) -> None:
    holds, ahead, clocks = race
    exact = [Ahead(each.ns, 0.0) for each in ahead]  # durations are compared, which drift changes by 500 ppm
    rows = [
        stamped(hold, exact[hold.host], clocks[hold.host], pair)._replace(granted=(0, 1), released=(1, 0))
        for hold, pair in zip(holds, drawn(holds), strict=True)
    ]
    for found in met(rows):
        asking = holds[[row.row for row in rows].index(found.row)]
        assert any(_waits_for(asking, hold) for hold in holds)


def test_who_waits_for_another_host_s_hold_is_counted_by_its_tickets() -> None:
    """Both hosts take turns of 50 us, by clocks that are known to 5 ms; each is away for 1 us."""
    holds = [
        True_(at % 2, at % 2, WORDS[0], max(0, (at - 1) * 50_000 + 1_000), at * 50_000, at * 50_000 + 49_000)
        for at in range(8)
    ]
    ahead = [Ahead(0, 0.0), Ahead(10**12, 0.0)]
    clocks = [clock_of(each, [(0, [(5_000_000, 5_000_000)])]) for each in ahead]
    rows = [
        stamped(each, ahead[each.host], clocks[each.host], pair) for each, pair in zip(holds, drawn(holds), strict=True)
    ]
    assert len(met(rows)) == 6
    assert met([row._replace(tickets=None) for row in rows]) == []


def changes(holds: Sequence[True_], words: Sequence[int]) -> int:
    """How many grants of these spans were on another host than the one before."""
    order = sorted((hold.granted, place) for place, hold in enumerate(holds) if hold.word in words)
    return sum(holds[one].host != holds[other].host for (_, one), (_, other) in pairwise(order))


@pytest.mark.parametrize(
    ("lasts_ns", "clock_ns", "found", "short"),
    [(2_000_000, 50_000, 1, 0), (2_000_000, 5_000_000, 0, 2), (2_000, 50_000, 0, 2)],
)
def test_an_overlap_that_clocks_can_show_is_found_and_others_are_counted(
    lasts_ns: int, clock_ns: int, found: int, short: int
) -> None:
    holds = [True_(host, host, WORDS[0], 0, 0, lasts_ns) for host in range(2)]
    ahead = [Ahead(0, 0.0), Ahead(5_000 * 10**9, 80e-6)]
    clocks = [clock_of(each, [(0, [(clock_ns, clock_ns)])]) for each in ahead]
    exclusion, between = judge([stamped(hold, ahead[hold.host], clocks[hold.host]) for hold in holds])
    assert (exclusion.overlapping, between.short, between.holds) == (found, short, 2)
    by_ticket, _ = judge(
        [
            stamped(hold, ahead[hold.host], clocks[hold.host], pair)
            for hold, pair in zip(holds, drawn(holds), strict=True)
        ]
    )
    assert by_ticket.overlapping == 1


@pytest.mark.parametrize(("turns", "hand_offs"), [("aaab", 1), ("abab", 3), ("a", 0), ("", 0)])
def test_hand_offs_are_changes_of_the_host(turns: str, hand_offs: int) -> None:
    holds = [
        True_("ab".index(host), "ab".index(host), WORDS[0], at * 10**7, at * 10**7, at * 10**7 + 10**6)
        for at, host in enumerate(turns)
    ]
    ahead = [Ahead(0, 0.0), Ahead(10**12, -80e-6)]
    clocks = [clock_of(each, [(0, [(20_000, 30_000)])]) for each in ahead]
    assert judge([stamped(each, ahead[each.host], clocks[each.host]) for each in holds])[1].hand_offs == hand_offs
