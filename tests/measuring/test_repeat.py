"""Repeats of cases, with real locks and with some that go wrong; what each showed is read from the logs."""

from __future__ import annotations

import fcntl
import os
import resource
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest

from lab.locking import Lock, find_lock
from lab.measuring.cases import Case
from lab.racing.recorder import SPARE_RECORDS
from lab.records import Price, Ranges
from tests.helpers import OtherProcess
from tests.locking.holder import listed_on

SLICE_S = 0.05
Actions = tuple[Callable[[], object], Callable[[], object]]


class Wrong:
    """A lock that goes wrong in one way."""

    name = "wrong"
    summary = "goes wrong"
    has_ranges = True
    excludes = True

    def __init__(self, acquire: Callable[[], object]) -> None:
        self._acquire = acquire

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> Actions:
        return self._acquire, lambda: None


def lets_in() -> None:
    pass


def raises() -> None:
    raise OSError(5, "Input/output error")


class Spinning(Wrong):
    """F_SETLK again and again: it excludes, and nobody who waits for it sleeps."""

    def __init__(self) -> None:
        super().__init__(lets_in)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> Actions:
        def acquire() -> None:
            while True:
                with suppress(BlockingIOError):
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
                    return

        return acquire, lambda: fcntl.lockf(descriptor, fcntl.LOCK_UN, length, start)


WRONG: dict[str, Callable[[], object]] = {
    "lets in": lets_in,
    "raises": raises,
    "exits": lambda: os._exit(7),
    "hangs": lambda: threading.Event().wait(),
}


def lock_of(name: str) -> Lock:
    if name == "spins":
        return Spinning()
    return Wrong(WRONG[name]) if name in WRONG else find_lock(name)


def measured(
    lock: str,
    price: Price,
    workers: int = 2,
    ranges: Ranges = "same",
    backing: str = "",
    hold_ns: int = 0,
    slice_s: float = SLICE_S,
    **limits: float,
) -> dict[str, Any]:
    """One repeat under these limits, as plain values; or how it failed."""
    from lab.measuring import repeat

    case = Case(lock_of(lock), price, workers, ranges, 0, backing, hold_ns, 0, "spread")
    read_before = pages_read()
    with TemporaryDirectory() as folder, patch.dict(vars(repeat), limits):
        try:
            ran = repeat.run_repeat(case, [Path(folder)], slice_s)
        except repeat.Failed as failed:
            return {"failed": str(failed)}
        done = repeat.tally(ran, window=True)
    told = asdict(replace(done, latencies=[]))
    counts = [(each.exact.total(), each.buckets.total()) for each in done.latencies]
    return {**told, "latencies": counts, "voluntary": done.voluntary, "pages_read": pages_read() - read_before}


def pages_read() -> int:
    """How often children that were reaped have slept for a page that the kernel had to read (getrusage(2))."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_majflt


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock", "multiprocessing", "lockfile"])
@pytest.mark.parametrize("workers", [2, 3])
def test_a_hand_off_passes_the_lock_to_another_worker_every_time(other: OtherProcess, lock: str, workers: int) -> None:
    done = other.call(measured, lock, "hand-off", workers)
    assert done["grants"] > 0
    assert done["handed_over"] == done["grants"] == sum(exact for exact, _ in done["latencies"])
    assert sum(done["pairs"]) - done["grants"] == 1, "the first grant of the lock that nobody held follows nobody"
    assert done["overlapping"] == 0


def test_who_waits_for_a_hand_off_in_the_kernel_sleeps_and_who_spins_never_does(other: OtherProcess) -> None:
    done = other.call(measured, "fcntl", "hand-off", 2)
    assert done["voluntary"] + done["involuntary"] >= 0.8 * done["grants"] > 0
    spun = other.call(measured, "spins", "hand-off", 2)
    assert spun["handed_over"] == spun["grants"] > 0
    assert spun["voluntary"] <= 20 + 2 * spun["pages_read"], "at the start barrier, and where a page is not there yet"


def test_a_lock_that_lets_everybody_in_is_not_handed_over_and_is_told_by_its_overlaps(other: OtherProcess) -> None:
    done = other.call(measured, "lets in", "queue", 2, hold_ns=1_000_000)
    assert done["overlapping"] > 0
    assert done["handed_over"] < done["grants"]


@pytest.mark.parametrize("price", ["uncontended", "queue"])
def test_every_pair_is_counted_once(other: OtherProcess, price: Price) -> None:
    done = other.call(measured, "fcntl", price, 1 if price == "uncontended" else 3, backing="mapped")
    assert done["lost"] == 0, "each pair added 1 to a counter in the file"
    assert [exact + bucketed for exact, bucketed in done["latencies"]] == done["pairs"]
    assert all(done["pairs"])


def test_additions_that_others_do_not_see_are_lost(other: OtherProcess) -> None:
    done = other.call(measured, "fcntl", "queue", 2, backing="private")
    assert done["lost"] == sum(done["pairs"]) > 0


def test_disjoint_ranges_never_meet(other: OtherProcess) -> None:
    done = other.call(measured, "fcntl", "queue", 3, "disjoint")
    starts = {(worker, start) for worker, start in zip(done["window"]["worker"], done["window"]["start"], strict=True)}
    assert starts <= {(0, 0), (1, 64), (2, 128)}
    assert (done["overlapping"], done["grants"]) == (0, 0)


def held_in_proc_locks(held: int) -> int:
    """How many ranges of the file are locked while a case runs."""
    from lab.measuring.workers import Member, Work, places_of
    from lab.memory import anonymous
    from lab.racing.mailbox import Mailbox
    from lab.racing.recorder import Log

    case = Case(find_lock("fcntl"), "uncontended", 1, "same", held, "", 0, 0, "none")
    with TemporaryDirectory() as folder, places_of(case, [Path(folder)]) as places:
        stop = memoryview(anonymous(8)).cast("Q")
        member = Member(Work(case, places, Log(1, 10), stop, Mailbox()), 1)
        held_from: set[str] = set()
        for _ in range(20):  # the kernel leaves out lines of a list that changes while it is read
            held_from |= {start for *_, start, _ in listed_on(Path(places[0].paths[0]))}
        stop[0] = 1
        member.live()
    return len(held_from)


@pytest.mark.parametrize("held", [0, 1, 300])
def test_so_many_ranges_are_held_meanwhile(other: OtherProcess, held: int) -> None:
    assert other.call(held_in_proc_locks, held) == held


def test_waits_beyond_the_room_of_the_log_are_in_the_histogram(other: OtherProcess) -> None:
    done = other.call(measured, "fcntl", "uncontended", 1, slice_s=20 * SLICE_S, MOST_RECORDS=0)
    ((exact, bucketed),) = done["latencies"]
    assert exact + bucketed == done["pairs"][0]
    assert exact == min(SPARE_RECORDS, done["pairs"][0])
    assert bucketed


def test_a_window_of_consecutive_holds_is_kept(other: OtherProcess) -> None:
    done = other.call(measured, "fcntl", "queue", 2)
    window = done["window"]
    begin, end = done["window_ns"]
    assert sum(begin <= granted < end for granted in window["granted_ns"]) == min(400, sum(done["pairs"]))
    assert window["requested_ns"] == sorted(window["requested_ns"])
    columns = list(zip(window["requested_ns"], window["granted_ns"], window["released_ns"], strict=True))
    assert all(requested <= granted <= released for requested, granted, released in columns)
    assert all(requested < end and released >= begin for requested, _, released in columns)


def test_a_worker_that_dies_or_hangs_is_ended_and_told(other: OtherProcess) -> None:
    raised, exited = (other.call(measured, lock, "uncontended", 1) for lock in ("raises", "exits"))
    assert raised == {"failed": "worker 0 raised OSError: [Errno 5] Input/output error"}
    assert exited == {"failed": "worker 0 ended with 7"}
    hung = other.call(measured, "hangs", "uncontended", 1, TIME_LIMIT_S=0.3)
    assert hung["failed"].startswith("worker 0 still at work after 0.3 s")


def test_to_spin_is_to_be_at_work_for_so_long() -> None:
    from lab.measuring.workers import spin

    begun = time.monotonic_ns()
    spin(3_000_000)
    assert time.monotonic_ns() - begun >= 3_000_000
