"""What is read from logs made by hand: who held which lock after whom, and when."""

from __future__ import annotations

from typing import Any

from lab.analysis.holds import Span
from lab.analysis.statistics import Latencies
from lab.locking import find_lock
from lab.measuring.cases import Case
from lab.measuring.repeat import SECOND_NS, WINDOW, Ran, Tally, tally
from lab.processes import Exit
from lab.racing.recorder import CURSOR, HEADER, RECORD, UNRECORDED, Log
from lab.records import Price

RELEASED_NS = 1_000

Hold = tuple[int, int, int, int, int]
"""Worker, requested, granted and given back, in ns since the barrier, and the number of the lock."""


def tallied(*holds: Hold, workers: int = 2, price: Price = "queue", ended_ns: int = 10_000, **of_the_run: Any) -> Tally:
    log = Log(workers, len(holds))
    for index in range(workers):
        log.segment(index)[CURSOR] = HEADER
    for worker, requested, granted, released, number in holds:
        segment = log.segment(worker)
        at = segment[CURSOR]
        times = (RELEASED_NS + each for each in (requested, granted, released))
        for word, value in enumerate((*times, Span(64 * number, 1, write=True).pack())):
            segment[at + word] = value
        segment[CURSOR] = at + RECORD
    for index, count in of_the_run.get("unrecorded", {}).items():
        log.segment(index)[UNRECORDED] = count
    backing = "mapped" if "added" in of_the_run else ""
    case = Case(find_lock("fcntl"), price, workers, "same", 0, backing, 0, 0, "none")
    exits = [Exit(index, 0, user_s=0.5, system_s=0.25, voluntary_switches=3) for index in range(workers)]
    return tally(Ran(case, RELEASED_NS, RELEASED_NS + ended_ns, exits, log, of_the_run.get("added", 0)), window=True)


def exact(times: Latencies) -> list[int]:
    return sorted(times.exact.elements())


def test_a_queue_is_waited_in_from_the_request_to_the_grant() -> None:
    done = tallied((0, 10, 11, 20, 0), (1, 12, 25, 30, 0), (0, 21, 35, 40, 0))
    assert [exact(each) for each in done.latencies] == [[1, 14], [13]]
    assert (done.pairs, done.pair_ns) == ([2, 1], 10_000 / 3)


def test_a_hand_off_takes_from_the_release_by_one_to_the_grant_to_the_other() -> None:
    ring = [(0, -9, -8, 20, 0), (1, -7, -6, 40, 1), (0, 5, 45, 60, 1), (1, 1, 30, 70, 0)]
    done = tallied(*ring, price="hand-off")
    assert [exact(each) for each in done.latencies] == [[45 - 40], [30 - 20]]
    assert (done.grants, done.handed_over, done.pairs) == (2, 2, [1, 1])


def test_a_worker_that_gets_its_own_lock_again_hands_nothing_over() -> None:
    done = tallied((0, 1, 2, 3, 0), (0, 4, 5, 6, 0), (1, 4, 7, 8, 0))
    assert (done.grants, done.handed_over) == (2, 1)


def test_each_lock_has_a_succession_of_its_own() -> None:
    done = tallied((0, 1, 2, 3, 0), (1, 4, 5, 6, 1), (0, 7, 8, 9, 0))
    assert (done.grants, done.handed_over) == (1, 0)


def test_a_streak_is_of_grants_in_a_row() -> None:
    done = tallied((0, 1, 2, 3, 0), (0, 4, 5, 6, 0), (1, 4, 7, 8, 0), (0, 7, 9, 10, 0))
    assert done.streaks == [2, 1]


def test_holds_that_overlap_are_counted_and_those_that_touch_are_not() -> None:
    assert tallied((0, 1, 2, 9, 0), (1, 1, 5, 7, 0)).overlapping == 1
    assert tallied((0, 1, 2, 5, 0), (1, 1, 5, 7, 0)).overlapping == 0
    assert tallied((0, 1, 2, 9, 0), (1, 1, 5, 7, 1)).overlapping == 0


def test_what_was_held_before_the_barrier_is_no_pair() -> None:
    assert tallied((0, -5, -4, 9, 0), (0, 10, 11, 12, 0)).pairs == [1, 0]


def test_additions_that_are_not_in_the_file_are_lost() -> None:
    holds = [(0, 1, 2, 3, 0), (1, 1, 4, 5, 0)]
    assert tallied(*holds, added=1).lost == 1
    assert tallied(*holds, added=2).lost == 0
    assert tallied(*holds).lost == 0


def test_after_a_log_is_full_nobody_knows_who_held_the_lock() -> None:
    holds = [(0, 1, 2, 3, 0), (1, 1, 4, 5, 0), (0, 6, 7, 8, 0), (0, 90, 95, 99, 0)]
    done = tallied(*holds, unrecorded={1: 40})
    assert (done.pairs, done.overflowed, done.grants, done.streaks) == ([3, 41], True, 1, [1, 1])
    assert (tallied(*holds).grants, tallied(*holds).overflowed, tallied(*holds).streaks) == (3, False, [2, 1])


def test_throughput_is_told_by_second_and_of_a_rest_that_is_not_too_short() -> None:
    holds = [(0, at, at + 1, at + 2, 0) for at in (5, SECOND_NS // 2, SECOND_NS + 7)]
    assert tallied(*holds, ended_ns=SECOND_NS * 3 // 2).by_second == [2.0, 2.0]
    assert tallied(*holds, ended_ns=SECOND_NS + 9).by_second == [2.0]


def test_what_the_kernel_counted_is_added_up() -> None:
    done = tallied((0, 1, 2, 3, 0))
    assert (done.cpu_s, done.voluntary, done.involuntary) == ([0.75, 0.75], 6, 0)


def test_the_window_tells_times_from_the_barrier_on() -> None:
    window = tallied((1, 5, 6, 8, 3), (0, 1, 2, 3, 0)).window
    assert (window.worker, window.requested_ns, window.granted_ns) == ([0, 1], [1, 5], [2, 6])
    assert (window.released_ns, window.start, window.length, window.write) == ([3, 8], [0, 192], [1, 1], [1, 1])


def test_who_waited_across_the_window_is_in_it_too() -> None:
    turns = [(0, 10 * n, 10 * n + 1, 10 * n + 5, 0) for n in range(3 * WINDOW)]
    done = tallied(*turns, (1, 15, 12_015, 12_020, 0), (1, 12_030, 12_040, 12_050, 0), ended_ns=13_000)
    begin, end = done.window_ns
    assert (end - begin, done.window.worker.count(0)) == (10 * (WINDOW - 1) + 4, WINDOW)
    assert [(who, asked) for who, asked in zip(done.window.worker, done.window.requested_ns, strict=True) if who] == [
        (1, 15)
    ]
    assert all(asked < end for asked in done.window.requested_ns)
    assert all(released >= begin for released in done.window.released_ns)


def test_without_holds_there_is_no_window() -> None:
    assert tallied().window_ns == (0, 0)
