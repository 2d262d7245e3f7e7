"""Accesses that nothing orders are found where the definition finds them: over random histories, by brute force."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis.lock_faults import Judgement, exclusion
from lab.analysis.lock_use import judge
from lab.analysis.watched import (
    END,
    EXCLUSIVE,
    RELEASED,
    SEEN,
    STAYS,
    STORES,
    WAITS,
    Event,
    EventList,
    History,
    Kind,
    WatchedFile,
    WatchedProcess,
)

SHARED = 0


def event(process: int, kind: Kind, start: int = 0, end: int = 8, flags: int = 0, **more: Any) -> Event:
    return Event(0, process, kind, more.pop("file", 0), start, end, more.pop("fd", 3), more.pop("other", 0),
                 more.pop("result", 0), flags, 0, more.pop("finish", 1), (0, 0), process)  # fmt: skip


def history_at(timed: Sequence[Event], files: int = 1) -> History:
    """Return the history of calls that have their times."""
    processes = [WatchedProcess(100 + number, 1, 0) for number in range(1 + max(each.process for each in timed))]
    named = [WatchedFile(f"/data/{number}") for number in range(files)]
    return History(processes, named, [], EventList(timed), [])


def history_of(events: Sequence[Event], files: int = 1, gap_ns: int = 1) -> History:
    """Return the history of calls that took effect one after the other."""
    times = (gap_ns * number for number in range(1, len(events) + 1))
    return history_at(
        [
            each._replace(time=at, begin=at, finish=at if each.finish else 0)
            for at, each in zip(times, events, strict=True)
        ],
        files,
    )


def place(each: Event) -> Hashable:
    return each.process, each.kind, each.start, each.end


def judged(events: Sequence[Event], files: int = 1) -> Judgement:
    """Judge calls that took effect one after the other."""
    return judge(history_of(events, files), place, chosen=True)


def lock(process: int, start: int = 0, end: int = 8, mode: int = EXCLUSIVE, **more: Any) -> Event:
    return event(process, more.pop("kind", Kind.POSIX), start, end, mode | WAITS, **more)


def unlock(process: int, start: int = 0, end: int = 8, **more: Any) -> Event:
    return event(process, Kind.POSIX, start, end, RELEASED, **more)


def read(process: int, start: int = 0, end: int = 8, **more: Any) -> Event:
    return event(process, Kind.READ, start, end, **more)


def write(process: int, start: int = 0, end: int = 8, **more: Any) -> Event:
    return event(process, Kind.WRITE, start, end, **more)


def load(process: int, start: int = 0, end: int = 8) -> Event:
    return event(process, Kind.LOAD, start, end)


def store(process: int, start: int = 0, end: int = 8) -> Event:
    return event(process, Kind.STORE, start, end)


def atomic(process: int, start: int = 100) -> Event:
    return event(process, Kind.ATOMIC, start, start + 4)


Step = tuple[int, str, int, int, bool, int]
"""Process, what it does, start, length, whether it is exclusive or a store, and how many later calls a lock's second
stamp waits for, at most."""

WHAT = ["lock", "lock", "unlock", "convert", "hand over", "access", "mapped", "mapped", "atomic"]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(WHAT), st.integers(0, 3), st.integers(1, 3), st.booleans(), st.integers(0, 3)
    ),
    min_size=2,
    max_size=12,
)  # fmt: skip
PROCESSES = range(3)


@dataclass
class Played:
    """Calls in the order of the kernel; the bytes that each took and let go, with their mode; how late each is told."""

    events: list[Event] = field(default_factory=list)
    took: list[dict[int, bool]] = field(default_factory=list)
    let_go: list[dict[int, bool]] = field(default_factory=list)
    late: list[int] = field(default_factory=list)

    def add(self, event: Event, took: dict[int, bool], let_go: dict[int, bool], late: int) -> None:
        self.events.append(event)
        self.took.append(took)
        self.let_go.append(let_go)
        self.late.append(late)

    def timed(self) -> list[Event]:
        """Return the calls by time: a request that was granted returns late, but before its process's next call."""
        told = []
        loads = any(each.kind is Kind.ATOMIC for each in self.events)  # then what a load shows is a matter of time
        for at, (event, late) in enumerate(zip(self.events, self.late, strict=True)):
            later = [k for k in range(at + 1, len(self.events)) if self.events[k].process == event.process]
            until = min(at + (0 if loads else late), *later[:1], len(self.events) - 1)
            until -= bool(later[:1] == [until])
            began = 10 + 10 * at
            finish = 15 + 10 * until + event.process if until > at else began
            told.append(event._replace(begin=began, finish=finish, time=finish))
        return sorted(told)


def in_simple_steps(step: Step) -> list[Step]:
    """Return the steps that one stands for, such as a lock that is made shared, in part, beside another's request."""
    process, what, start, length, strong, late = step
    other = (process + 1) % len(PROCESSES)
    if what == "convert":
        return [(process, "lock", start, length, mode, late) for mode in (not strong, strong)]
    if what == "hand over":
        return [
            (process, "lock", start, length, True, 0), (process, "access", start, length, True, 0),
            (process, "lock", start, 1 + late % 2, False, late), (other, "lock", start, 1, False, 0),
            (other, "access", start, length, False, 0), (process, "access", start, length, strong, 0),
        ]  # fmt: skip
    return [step]


def played(steps: Sequence[Step]) -> Played:
    """Return a history that a kernel could have: what would have to wait is left out."""
    held: list[dict[int, bool]] = [{} for _ in PROCESSES]
    history = Played()
    for process, what, start, length, strong, late in (simple for step in steps for simple in in_simple_steps(step)):
        end, mine = start + length, held[process]
        has = {byte: mine[byte] for byte in range(start, end) if byte in mine}
        if what == "access":
            history.add((write if strong else read)(process, start, end), {}, {}, 0)
        elif what == "mapped":
            history.add((store if strong else load)(process, start, end), {}, {}, 0)
        elif what == "atomic":
            history.add(event(process, Kind.ATOMIC, start, end), {}, {}, 0)
        elif what == "unlock":
            history.add(unlock(process, start, end), {}, has, 0)
            for byte in has:
                del mine[byte]
        elif not any(
            byte in other and (strong or other[byte])
            for other in held if other is not mine for byte in range(start, end)
        ):  # fmt: skip
            weaker = {byte: mode for byte, mode in has.items() if mode != strong}
            history.add(lock(process, start, end, strong), dict.fromkeys(range(start, end), strong), weaker, late)
            mine.update(dict.fromkeys(range(start, end), strong))
    return history


def counts_later(events: Sequence[Event]) -> dict[int, list[int]]:
    """Return the loads that count for each event, since it is the next one of the process."""
    later: dict[int, list[int]] = {}
    for at, each in enumerate(events):
        if each.kind in (Kind.LOAD, Kind.ATOMIC):
            after = next((k for k in range(at + 1, len(events)) if events[k].process == each.process), -1)
            later.setdefault(after, []).append(at)
    return later


MAPPED = (Kind.LOAD, Kind.STORE, Kind.ATOMIC)


def unordered_by_definition(history: Played) -> bool:
    """Tell whether two accesses conflict that no path joins: program order, and release before a later acquire.

    A store to a byte that an atomic instruction ever touches releases, and a load of it acquires: from all that comes
    before the next event of its process.
    """
    events = history.events
    words = {byte for each in events if each.kind is Kind.ATOMIC for byte in range(each.start, each.end)}
    touched = [{*range(each.start, each.end)} for each in events]
    data = [bytes_ - words if each.kind in MAPPED else bytes_ for each, bytes_ in zip(events, touched, strict=True)]
    later = counts_later(events)
    count = len(events)
    before = [[False] * count for _ in range(count)]
    for second in range(count):
        for first in range(second):
            one, two = events[first], events[second]
            gone, took = history.let_go[first], history.took[second]
            edge = one.process == two.process or (
                any(gone[byte] or took[byte] for byte in gone.keys() & took.keys())
            ) or (
                one.kind in (Kind.STORE, Kind.ATOMIC)
                and any(touched[first] & touched[load] & words for load in later.get(second, ()))
            )  # fmt: skip
            if edge:
                for earlier in range(first + 1):
                    before[earlier][second] |= earlier == first or before[earlier][first]
    return any(
        not before[first][second] and bool({one.kind, two.kind} & {*STORES}) and bool(data[first] & data[second])
        for second, two in enumerate(events)
        for first, one in enumerate(events[:second])
        if one.process != two.process and one.kind is not Kind.POSIX and two.kind is not Kind.POSIX
    )


FACTS = ("two let in", "opposite order")
"""Causes that are about locks alone."""


@given(STEPS)
def test_unordered_accesses_are_those_of_the_definition(steps: list[Step]) -> None:
    history = played(steps)
    if history.events:
        found = judge(history_at(history.timed()), place, chosen=True).findings
        pairs = (each.events[:2] for each in found if each.cause not in FACTS)
        told = any(len({call.process for call in pair}) == 2 for pair in pairs)
        assert told == unordered_by_definition(history)


@given(STEPS)
def test_no_history_of_a_kernel_lets_two_in(steps: list[Step]) -> None:
    if events := played(steps).timed():
        assert "two let in" not in {each.cause for each in judge(history_at(events), place, chosen=True).findings}


def once(process: int, **more: Any) -> list[Event]:
    """Return an addition under the lock."""
    return [lock(process, **more), read(process), write(process), unlock(process, **more)]


def executed(fd: int) -> list[Event]:
    """Return that the first process executes another program, which closes a descriptor unless it is -1."""
    return [event(0, Kind.EXEC, fd=-1, finish=0), event(0, Kind.EXEC, fd=fd, finish=0)]


OPENED = [event(each, Kind.OPEN) for each in (0, 1)]


@pytest.mark.parametrize(
    ("what", "events", "expected"),
    [
        ("two that lock", [*once(0), *once(1)], set()),
        ("the second without", [*once(0), read(1), write(1)], {"no lock"}),
        ("another byte stands for the data", [*once(0, start=50, end=51), *once(1, start=50, end=51)], set()),
        ("ranges that do not meet", [*once(0, start=50, end=51), *once(1, start=60, end=61)], {"no lock"}),
        ("a release by close", [*OPENED, *once(0)[:3], event(0, Kind.CLOSE), *once(1)], set()),
        (
            "a close of another descriptor",
            [*OPENED, event(0, Kind.OPEN, fd=4), lock(0), event(0, Kind.CLOSE, fd=4), write(0), unlock(0), *once(1)],
            {"dropped by a close"},
        ),
        (
            "locked twice, and unlocked twice",
            [*OPENED, event(0, Kind.OPEN, fd=4), lock(0), lock(0, fd=4), unlock(0), write(0), unlock(0), *once(1)],
            {"locked twice"},
        ),
        (
            "locked twice, and another process unlocks nothing",
            [*OPENED, event(0, Kind.OPEN, fd=4), lock(0), lock(0, fd=4), unlock(0), unlock(1)],
            {"locked twice", "unlocked without a lock"},
        ),
        ("both hold it", [lock(0), lock(1), unlock(0), unlock(1)], {"two let in"}),
        ("another program is executed, which closes the descriptor", [*OPENED, lock(0), *executed(fd=3), *once(1),
         event(0, Kind.START, other=0)], set()),
        ("it closes another one of the file", [*OPENED, event(0, Kind.OPEN, fd=4), lock(0), *executed(fd=4), *once(1),
         event(0, Kind.START, other=0)], set()),
        ("it closes none", [*OPENED, lock(0), *executed(fd=-1), *once(1), event(0, Kind.START, other=0)],
         {"two let in"}),
        ("it could not be executed", [*OPENED, lock(0), event(0, Kind.EXEC, result=2), *once(1), write(0), unlock(0)],
         {"two let in", "no lock"}),
        ("it believes in the lock", [*OPENED, lock(0), *executed(fd=3), event(0, Kind.START, other=0), write(0),
         *once(1)], {"dropped by a close"}),
        ("a death, and the next", [*once(0)[:3], *once(1)], {"died inside"}),
        ("a pipe", [write(0), event(0, Kind.SEND, file=1), event(1, Kind.RECEIVE, file=1), read(1)], set()),
        ("a pipe the other way", [write(0), event(1, Kind.SEND, file=1), event(0, Kind.RECEIVE, file=1), read(1)],
         {"no lock"}),
        ("a child that is waited for", [write(0), event(1, Kind.FORK, other=0), write(1),
         event(0, Kind.WAITED, other=1), write(0)], set()),
        ("a child that is not", [write(0), event(1, Kind.FORK, other=0), write(1), write(0)], {"no lock"}),
        ("refused, and went on", [lock(0), event(1, Kind.POSIX, flags=EXCLUSIVE, result=11), write(1), unlock(0)],
         {"went on without the lock"}),
        ("refused, and tried again", [lock(0), event(1, Kind.POSIX, flags=EXCLUSIVE, result=11), unlock(0), *once(1)],
         set()),
        ("refused, granted, and written after the unlock",
         [lock(0), event(1, Kind.POSIX, flags=EXCLUSIVE, result=11), unlock(0), *once(1), write(1), *once(0)],
         {"written after the unlock"}),
        ("readers together", [lock(0, mode=SHARED), lock(1, mode=SHARED), read(0), read(1), unlock(0), unlock(1)],
         set()),
        ("a part is made shared", [lock(0), lock(0, 0, 4, SHARED), lock(1, 0, 4, SHARED), write(0, 4, 8), unlock(0),
         lock(1, 4, 8), write(1, 4, 8), unlock(1)], set()),
        ("made shared by a child", [*OPENED, lock(0, kind=Kind.OFD), write(0), event(2, Kind.FORK, other=0),
         lock(2, mode=SHARED, kind=Kind.OFD), lock(1, mode=SHARED, kind=Kind.OFD), read(1)], set()),
        ("a refused request by flock, which has dropped the lock", [*OPENED, lock(0, mode=SHARED, kind=Kind.FLOCK),
         event(0, Kind.FLOCK, flags=EXCLUSIVE, result=11), lock(1, kind=Kind.FLOCK), write(1)], set()),
        ("an interrupted one, which has dropped it too", [*OPENED, lock(0, mode=SHARED, kind=Kind.FLOCK),
         lock(0, kind=Kind.FLOCK, result=4), lock(1, kind=Kind.FLOCK), write(1)], set()),
        ("a refused request by fcntl, which has dropped nothing", [lock(0, mode=SHARED), lock(0, result=11), lock(1),
         unlock(1), unlock(0)], {"two let in"}),
        ("a store under a shared lock", [lock(0, mode=SHARED), write(0), unlock(0)], {"written under a shared lock"}),
        ("never granted", [*once(0)[:3], lock(1, finish=0)], {"still waiting"}),
        (
            "opposite order",
            [lock(0, 0, 1), lock(0, 1, 2), unlock(0, 0, 2), lock(1, 1, 2), lock(1, 0, 1), unlock(1, 0, 2)],
            {"opposite order"},
        ),
        (
            "opposite order, and one only tries",
            [lock(0, 0, 1), lock(0, 1, 2), unlock(0, 0, 2), lock(1, 1, 2),
             event(1, Kind.POSIX, 0, 1, EXCLUSIVE), unlock(1, 0, 2)],
            set(),
        ),
        ("loads and stores in a lock", [lock(0), load(0), store(0), unlock(0), lock(1), load(1), store(1), unlock(1)],
         set()),
        ("a store after the unlock", [lock(0), load(0), unlock(0), store(0), lock(1), load(1), unlock(1)],
         {"written after the unlock"}),
        ("a load, then the lock", [load(0), lock(0), store(0), unlock(0), load(1), lock(1), store(1), unlock(1)],
         {"read before the lock"}),
        ("stores by a child under its parent's lock", [lock(0), event(1, Kind.FORK, other=0), store(1), store(0),
         unlock(0)], {"not inherited by a fork"}),
        ("a lock made of an atomic word", [atomic(0), load(0), store(0), store(0, 100, 104),
         atomic(1), load(1), store(1)], set()),
        ("a lock made of an atomic word that one forgets", [atomic(0), load(0), store(0), store(0, 100, 104), store(1)],
         {"no lock"}),
        ("a load that happens after it was recorded", [store(0), load(1, 100, 104), atomic(0), load(1)], set()),
        ("a store to data and to a word behind it", [store(1, 96, 100), store(0, 96, 104), atomic(0)], {"no lock"}),
        ("a page left open", [store(0), atomic(0), event(1, Kind.OPENED, 0, 4096), load(1)], set()),
        ("a page left open by the other", [atomic(0), event(0, Kind.OPENED, 0, 4096), store(0, 200, 208),
         load(1, 100, 104), load(1, 200, 208)], set()),
        ("a page that stays open over a lock", [store(0), lock(1), event(1, Kind.OPENED, 0, 4096, STAYS),
         unlock(1), atomic(0), lock(1), load(1), unlock(1), event(1, Kind.CLOSED, 0, 4096)], set()),
        ("a page left open, without a word in it", [atomic(0, 5000), store(0), event(1, Kind.OPENED, 0, 4096), load(1)],
         {"no lock"}),
        (
            "opposite order under a third lock",
            [each for process, (first, second) in ((0, (0, 1)), (1, (1, 0)))
             for each in (lock(process, 9, 10), lock(process, first, first + 1), lock(process, second, second + 1),
                          unlock(process, 0, 10))],
            set(),
        ),
    ],
)  # fmt: skip
def test_the_cause_of_each_history(what: str, events: list[Event], expected: set[str]) -> None:
    assert {each.cause for each in judged(events, files=2).findings} == expected, what


def test_a_range_to_the_end_meets_every_byte_behind() -> None:
    first, second = lock(0, 4, END), lock(1, 9, 10)
    assert not judged([first, write(0), unlock(0, 4, END), second, write(1), unlock(1, 9, 10)]).findings


def held_ns(events: Sequence[Event]) -> tuple[list[tuple[int, int, int]], int]:
    """The holds as grant, release and process, and how many pairs overlapped."""
    uses = judged(events).uses
    swept = exclusion((file, use) for (file, _), use in uses.items())
    rows = sorted(row for use in uses.values() for row in use.rows())
    return [(row[0], row[1], row[3]) for row in rows], swept.overlapping


@pytest.mark.parametrize(
    ("events", "holds", "overlapping"),
    [
        ([lock(0), unlock(0), lock(1), unlock(1)], [(1, 2, 0), (3, 4, 1)], 0),
        ([lock(0), lock(1), unlock(0), unlock(1)], [(1, 3, 0), (2, 4, 1)], 1),
        ([lock(0), lock(1, 8, 16), unlock(0), unlock(1, 8, 16)], [(1, 3, 0), (2, 4, 1)], 0),
        ([lock(0, mode=0), lock(1, mode=0), unlock(0), unlock(1)], [(1, 3, 0), (2, 4, 1)], 0),
        ([lock(0, 0, 16), unlock(0, 0, 8), lock(1), unlock(0, 8, 16)], [(1, 2, 0), (1, 4, 0), (3, 3, 1)], 0),
        ([lock(0, 0, 16), unlock(0, 0, 8), lock(1, 8, 16), unlock(0)], [(1, 1, 0), (1, 2, 0), (3, 3, 1)], 0),
        ([lock(0), lock(0), lock(1), unlock(0)], [(1, 2, 0), (2, 4, 0), (3, 3, 1)], 0),
        ([lock(0), event(0, Kind.CLOSE), lock(1), unlock(0), unlock(1)], [(1, 4, 0), (3, 5, 1)], 1),
        ([event(0, Kind.OPEN), lock(0), event(0, Kind.CLOSE), lock(1), unlock(1)], [(2, 3, 0), (4, 5, 1)], 0),
        ([lock(0), event(0, Kind.EXIT), lock(1), unlock(1)], [(1, 2, 0), (3, 4, 1)], 0),
        ([lock(0), lock(1), unlock(1), event(0, Kind.READ)], [(1, 1, 0), (2, 3, 1)], 0),
    ],
)  # fmt: skip
def test_a_hold_lasts_from_its_grant_to_its_release_and_ends_at_its_grant_where_that_was_not_seen(
    events: list[Event], holds: list[tuple[int, int, int]], overlapping: int
) -> None:
    assert held_ns(events) == (holds, overlapping)


def test_a_request_that_comes_while_another_holds_the_lock_has_met_it() -> None:
    waits = lock(1)._replace(begin=2)
    events = [lock(0)._replace(time=1, begin=1, finish=1), unlock(0)._replace(time=3, begin=3, finish=4)]
    later = waits._replace(time=5, finish=5)
    processes = [WatchedProcess(100 + number, 1, 0) for number in range(2)]
    history = History(processes, [WatchedFile("/data")], [], EventList([*events, later]), [])
    uses = judge(history, lambda each: each.kind).uses
    assert exclusion((file, use) for (file, _), use in uses.items()).contended == 1


@pytest.mark.parametrize("begins", [2, 4])
def test_a_lock_by_flock_goes_before_it_is_had_in_another_mode(begins: int) -> None:
    """Two readers ask for the lock to write: the one that waits has let go what it had (flock(2)).

    A request that came after the other's grant has let nothing go by then.
    """

    def flock(process: int, mode: int, begin: int, finish: int) -> Event:
        mine = event(process, Kind.FLOCK, 0, END, mode | WAITS)
        return mine._replace(time=finish, begin=begin, finish=finish)

    events = [flock(0, 0, 1, 1), flock(1, 0, 1, 1), flock(1, EXCLUSIVE, 2, 3), flock(0, EXCLUSIVE, begins, 9)]
    processes = [WatchedProcess(100 + number, 1, 0) for number in range(2)]
    found = judge(History(processes, [WatchedFile("/data/0")], [], EventList(events), []), lambda each: each.time)
    assert ("two let in" in {each.cause for each in found.findings}) == (begins > 3)


@pytest.mark.parametrize(("words", "expected"), [([(100, 104)], []), ([(200, 204)], ["no lock"]), ([], ["no lock"])])
def test_words_that_are_known_order_processes_without_an_atomic_instruction(
    words: list[tuple[int, int]], expected: list[str]
) -> None:
    events = [store(0), store(0, 100, 104), load(1, 100, 104), load(1)]
    timed = [each._replace(time=at, begin=at, finish=at) for at, each in enumerate(events, start=1)]
    processes = [WatchedProcess(100 + number, 1, 0) for number in range(2)]
    history = History(processes, [WatchedFile("/data/0")], [], EventList(timed), [])
    found = judge(history, lambda each: each.kind, chosen=True, words={0: words}).findings
    assert [each.cause for each in found][:1] == expected


def map_index(process: int, flags: int = EXCLUSIVE) -> Event:
    return event(process, Kind.MAP, 0, 4096, flags, file=1, other=1)


BOTH_MAP = [map_index(0), map_index(1)]


@pytest.mark.parametrize(
    ("events", "is_reported"),
    [
        ([*BOTH_MAP, write(0), read(1)], False),
        ([*BOTH_MAP, read(0), write(1)], False),
        ([map_index(0), write(0), event(0, Kind.UNMAP, 0, 4096, file=1), map_index(1), read(1)], False),
        ([map_index(0), event(2, Kind.FORK, other=0), map_index(1), write(2), read(1)], False),
        ([*BOTH_MAP, write(0), write(1)], True),
        ([map_index(0), map_index(1, EXCLUSIVE | SEEN), write(0), read(1)], True),
        ([map_index(0), write(0), read(1)], True),
        ([*BOTH_MAP, event(0, Kind.UNMAP, 0, 4096, file=1), write(0), read(1)], True),
        ([map_index(0), write(0), read(1), map_index(1)], True),
    ],
)
def test_a_read_is_taken_for_ordered_by_words_that_are_known_where_nobody_saw_them(
    events: list[Event], is_reported: bool
) -> None:
    found = judge(history_of(events, 2), place, words={1: [(0, 136)]}, chosen=True).findings
    assert [each.cause for each in found] == ["no lock"] * is_reported
    assert [each.cause for each in judge(history_of(events, 2), place, chosen=True).findings] == ["no lock"]


@pytest.mark.parametrize(("last", "expected"), [(1, ["no lock"]), (4, [])])
def test_a_word_that_is_stored_to_again_and_again_releases_each_time(last: int, expected: list[str]) -> None:
    """Of what one place does again to the same bytes there is one event, from the first time to the last."""
    flag = store(0, 100, 104)._replace(time=1, begin=1, finish=last)
    events = [flag, *(each._replace(time=at, begin=at, finish=at) for at, each in
                      [(2, store(0)), (5, load(1, 100, 104)), (6, load(1))])]  # fmt: skip
    found = judge(history_at(events), place, chosen=True, words={0: [(100, 104)]}).findings
    assert [each.cause for each in found] == expected


@pytest.mark.parametrize("locked", [(True, True), (True, False), (False, True), (False, False)])
def test_two_that_stored_to_a_page_under_a_lock_each_or_without_any_may_have_stored_to_different_bytes(
    locked: tuple[bool, bool],
) -> None:
    events: list[Event] = []
    for process, holds in enumerate(locked):
        store = event(process, Kind.PAGE, 0, 4096)
        events += [lock(process, 8 * process, 8 * process + 8), store] if holds else [store]
    timed = [each._replace(time=at, begin=at, finish=at) for at, each in enumerate(events, start=1)]
    processes = [WatchedProcess(100 + number, 1, 0) for number in range(2)]
    history = History(processes, [WatchedFile("/data/0")], [], EventList(timed), [], level="pages")
    found = judge(history, lambda each: each.time, chosen=True).findings
    assert [each.cause for each in found] == (["no lock"] if any(locked) and not all(locked) else [])


def converted(kind: Kind, mode: int, answered: int, begun: int = 30) -> Judgement:
    """Judge one that asks at 30 for its exclusive lock in another mode, while another is granted a shared one at 40."""
    took = event(0, kind, 0, 8, EXCLUSIVE | WAITS)._replace(time=10, begin=5, finish=10)
    others = event(1, kind, 0, 8, WAITS, fd=4)._replace(time=40, begin=20, finish=40)
    asks = event(0, kind, 0, 8, mode | WAITS)._replace(time=answered or END, begin=begun, finish=answered)
    events = [took, *sorted([others, asks], key=lambda each: each.time)]
    processes = [WatchedProcess(100 + number, 1, 0) for number in range(2)]
    history = History(processes, [WatchedFile("/data")], [], EventList(events), [])
    return judge(history, lambda each: each.kind)


@pytest.mark.parametrize(
    ("kind", "mode", "answered", "begun", "let_in"),
    [
        (Kind.POSIX, 0, 50, 30, False),
        (Kind.OFD, 0, 50, 30, False),
        (Kind.FLOCK, 0, 50, 30, False),
        (Kind.FLOCK, EXCLUSIVE, 0, 30, False),
        (Kind.POSIX, 0, 50, 45, True),
        (Kind.POSIX, EXCLUSIVE, 50, 30, True),
        (Kind.FLOCK, 0, 50, 45, True),
    ],
)
def test_a_lock_whose_holder_asked_for_another_mode_before_the_grant_may_have_given_way(
    kind: Kind, mode: int, answered: int, begun: int, let_in: bool
) -> None:
    causes = [each.cause for each in converted(kind, mode, answered, begun).findings]
    assert ("two let in" in causes) == let_in


def pages_left_open(count: int) -> list[Event]:
    pages = [4096 * number for number in range(count)]
    return [
        *(atomic(0, page) for page in pages),
        *(event(0, Kind.OPENED, page, page + 4096, STAYS) for page in pages),
        *(load(0, page + 8, page + 16) for page in pages),
    ]


def records_locked(count: int) -> list[Event]:
    return [
        each for number in range(count) for process in (0, 1)
        for each in (lock(process, number, number + 1), unlock(process, number, number + 1))
    ]  # fmt: skip


@pytest.mark.parametrize("some", [pages_left_open, records_locked])
def test_judging_twice_as_much_takes_twice_as_many_steps(some: Callable[[int], list[Event]]) -> None:
    def steps(count: int) -> int:
        history, lines = history_of(some(count)), 0

        def count_line(*_: object) -> Callable[..., Any]:
            nonlocal lines
            lines += 1
            return count_line

        before = sys.gettrace()
        sys.settrace(count_line)
        try:
            judge(history, place, chosen=True)
        finally:
            sys.settrace(before)
        return lines

    assert steps(160) < 2.2 * steps(80)


@pytest.mark.parametrize(("first_locked", "cause"), [(True, "no lock"), (False, "looked before the lock")])
def test_what_is_read_under_one_lock_twice_was_not_looked_at_before_it(first_locked: bool, cause: str) -> None:
    """The other process has no lock, and writes while nobody holds the one that stands beside the file."""
    guard = [lock(0, file=1)], [unlock(0, file=1)]
    first = [*guard[0], read(0), *guard[1]] if first_locked else [read(0)]
    found = judged([*first, write(1), *guard[0], read(0), *guard[1]], files=2).findings
    assert cause in {each.cause for each in found}
    assert {each.cause for each in found} <= {"no lock", cause}
