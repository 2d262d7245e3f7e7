"""Run one repeat of a case, and read the results from the logs of its workers.

A repeat has fresh files and fresh workers, released together and stopped after a slice of time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from lab.analysis.holds import Row, Span, sweep
from lab.analysis.statistics import Latencies
from lab.errors import CannotRunError
from lab.memory import anonymous
from lab.processes import Exit, WorkerPool, cpus_for
from lab.racing.mailbox import Mailbox, Report, late
from lab.racing.recorder import FINISHED_NS, PRIVATE_BYTES, UNRECORDED, Log
from lab.records import Holds, Request

from .cases import Case
from .workers import APART, Work, files_to_be_had, places_of

MOST_RECORDS = 1 << 19
"""All workers together keep so many records: 16 MiB; later times are known from the histogram."""

PAIRS_PER_S = 1_500_000
TIME_LIMIT_S = 30.0


class Failed(Exception):  # noqa: N818 - a finding
    """A worker died or hung; the message says how."""


@dataclass(frozen=True, slots=True)
class Ran:
    """The results of one repeat; `added` is the sum of the additions that its files show."""

    case: Case
    released_ns: int
    ended_ns: int
    exits: list[Exit]
    log: Log
    added: int

    @property
    def wall_ns(self) -> int:
        """Return the time from the release of the start barrier to the end of the last worker."""
        return self.ended_ns - self.released_ns


def run_repeat(case: Case, folders: Sequence[Path], slice_s: float) -> Ran:
    """Measure once, the workers dealt out over the folders.

    Raise Failed where a worker did not end well, CannotRunError where backing or fork is refused.
    """
    with files_to_be_had(), places_of(case, folders) as places:
        records = int(min(MOST_RECORDS / case.workers, PAIRS_PER_S * slice_s + 1000))
        log = Log(case.workers, records, histograms=True)
        stop = memoryview(anonymous(8)).cast("Q")
        mailbox = Mailbox()
        try:
            work = Work(case, places, log, stop, mailbox)
            with WorkerPool(case.workers + bool(case.held), work.prepare, cpus_for(case.pin)) as pool:
                pool.gather(TIME_LIMIT_S)
                released_ns = pool.release()
                time.sleep(slice_s)
                stop[0] = 1
                exits = pool.wait(TIME_LIMIT_S)
            _check(case, exits, list(mailbox.read()), log)
        finally:
            mailbox.close()
        added = sum(_sum_of_counters(place.shared.read_back()) for place in places) if case.backing else 0
        return Ran(case, released_ns, max(log.header(FINISHED_NS)), exits[: case.workers], log, added)


def _sum_of_counters(content: bytearray) -> int:
    """Return the sum of the counters."""
    return sum(int.from_bytes(content[at : at + 8], "little") for at in range(0, len(content), APART))


def how_it_failed(exits: Sequence[Exit], limit_s: float) -> str:
    """Say how a worker that did not end well ended, rather than one that waited for it; empty where all ended well."""
    for ended in sorted(exits, key=lambda each: (each.late, not each.stopped)):
        if ended.late or ended.code:
            return f"worker {ended.index} {late(ended, limit_s) if ended.late else f'ended with {ended.code}'}"
    return ""


def _check(case: Case, exits: list[Exit], reports: list[Report], log: Log) -> None:
    """Check that all workers ended well.

    Raise Failed about a worker that did not, rather than about one that waited for it; CannotRunError for a refusal.
    """
    for report in reports:
        if report.kind == CannotRunError.__name__:
            raise CannotRunError(report.error.partition(": ")[2])
        raise Failed(f"worker {report.worker} raised {report.error}")
    if how := how_it_failed(exits, TIME_LIMIT_S):
        raise Failed(how)
    for ended in exits:
        if ended.index < case.workers and not log.header(FINISHED_NS)[ended.index]:
            raise Failed(f"worker {ended.index} ended before its time")


WINDOW = 400
"""All holds among so many grants in a row are kept of the last repeat, for pictures."""

SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Tally:
    """The figures of one repeat: of each worker its pairs, latencies and longest streak; the rest of all together.

    `handed_over` of the `grants` that had one before them came from another worker. `lost` additions are missing. Where
    the log `overflowed`, all figures about the order of grants are of the time before.
    """

    wall_ns: int
    pairs: list[int]
    latencies: list[Latencies]
    streaks: list[int]
    by_second: list[float]
    cpu_s: list[float]
    voluntary: int
    involuntary: int
    memory_bytes: int
    overflowed: bool = False
    grants: int = 0
    handed_over: int = 0
    overlapping: int = 0
    lost: int = 0
    window: Holds = field(default_factory=Holds)
    window_ns: tuple[int, int] = (0, 0)

    @property
    def pair_ns(self) -> float:
        """Return the time that passed, divided by the pairs of all workers."""
        return self.wall_ns / max(1, sum(self.pairs))


def tally(ran: Ran, *, window: bool) -> Tally:
    """Read the logs; with the window of holds where `window` is set."""
    case = ran.case
    rows = list(ran.log.holds())
    counted = [row for row in rows if row[0] >= ran.released_ns]
    unrecorded = [ran.log.segment(index)[UNRECORDED] for index in range(case.workers)]
    by_worker: list[list[Row]] = [[] for _ in range(case.workers)]
    for row in counted:
        by_worker[row[3]].append(row)
    pairs = [len(own) + more for own, more in zip(by_worker, unrecorded, strict=True)]
    done = Tally(
        wall_ns=ran.wall_ns,
        pairs=pairs,
        latencies=[_waits(ran, own, index) for index, own in enumerate(by_worker)],
        streaks=[0] * case.workers,
        by_second=_by_second(ran, by_worker, unrecorded),
        cpu_s=[ended.user_s + ended.system_s for ended in ran.exits],
        voluntary=sum(ended.voluntary_switches for ended in ran.exits),
        involuntary=sum(ended.involuntary_switches for ended in ran.exits),
        memory_bytes=max(ran.log.header(PRIVATE_BYTES)),
        lost=sum(pairs) - ran.added if case.backing else 0,
        overflowed=any(unrecorded),
    )
    if window:
        done.window, done.window_ns = _window(ran, counted)
    if case.workers > 1 and case.ranges == "same":
        until_ns = _full_ns(ran, by_worker, unrecorded)
        _follow(done, [row for row in rows if row[0] <= until_ns], ran)
    return done


def _waits(ran: Ran, own: Sequence[Row], index: int) -> Latencies:
    """Return the times from request to grant. Those of hand-offs count from the release, and `_follow` makes them."""
    waits = Latencies()
    if ran.case.price != "hand-off":
        waits.exact.update(granted - requested for granted, _, requested, _, _ in own)
        beyond = ran.log.histogram(index)
        counts = beyond.tolist() if beyond else []
        waits.buckets.update({number: count for number, count in enumerate(counts) if count})
    return waits


def _follow(done: Tally, rows: list[Row], ran: Ran) -> None:
    """Count from the order of holders of each lock: streaks, hand-overs and their latencies, and holds that overlap."""
    done.overlapping = sweep(rows).overlapping
    rows.sort()
    for worker, holds in groupby(rows, key=itemgetter(3)):
        done.streaks[worker] = max(done.streaks[worker], sum(1 for _ in holds))
    for first, second in _successions(rows):
        if second[0] < ran.released_ns:
            continue
        done.grants += 1
        if first[3] != second[3]:
            done.handed_over += 1
            if ran.case.price == "hand-off":
                done.latencies[second[3]].exact[max(0, second[0] - first[1])] += 1


def _successions(ordered: list[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield each hold with the one before it of the same lock."""
    last: dict[int, Row] = {}
    for row in ordered:
        if row[4] in last:
            yield last[row[4]], row
        last[row[4]] = row


def _by_second(ran: Ran, by_worker: list[list[Row]], unrecorded: Sequence[int]) -> list[float]:
    """Return pairs a second, as long as every worker's log had room."""
    until_ns = _full_ns(ran, by_worker, unrecorded)
    counts: Counter[int] = Counter()
    for own in by_worker:
        counts.update((row[0] - ran.released_ns) // SECOND_NS for row in own if row[0] <= until_ns)
    whole, rest_ns = divmod(until_ns - ran.released_ns, SECOND_NS)
    rates = [float(counts[second]) for second in range(whole)]
    if rest_ns >= SECOND_NS // 10 or not rates:
        rates.append(round(counts[whole] * SECOND_NS / max(1, rest_ns), 1))
    return rates


def _full_ns(ran: Ran, by_worker: Sequence[Sequence[Row]], unrecorded: Sequence[int]) -> int:
    """Return the last moment at which every worker's log had room: its last grant, or the end."""
    full = [own[-1][0] for own, more in zip(by_worker, unrecorded, strict=True) if more and own]
    return min([ran.ended_ns, *full])


def _window(ran: Ran, counted: list[Row]) -> tuple[Holds, tuple[int, int]]:
    """Return some hundreds of holds from the middle of the repeat, with the waits and holds meanwhile, by request.

    Everything between the two moments is included; times are from the release.
    """
    ordered = sorted(counted)
    first = max(0, (len(ordered) - WINDOW) // 2)
    middle = ordered[first : first + WINDOW]
    begin, end = (middle[0][0], max(row[1] for row in middle)) if middle else (0, 0)
    rows = sorted((row for row in ordered if row[2] < end and row[1] >= begin), key=itemgetter(2))
    return _holds(ran, rows), (begin - ran.released_ns, end - ran.released_ns) if middle else (0, 0)


def _holds(ran: Ran, rows: list[Row]) -> Holds:
    holds = Holds()
    for granted, released, requested, worker, word in rows:
        times = [time_ns - ran.released_ns for time_ns in (requested, granted, released)]
        start, length, write = Span.unpack(word)
        holds.add(Request._make([worker, *times, start, length, int(write)]))
    return holds
