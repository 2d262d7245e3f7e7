"""From what the repeats showed to one row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.analysis.statistics import Latencies
from lab.locking import find_lock
from lab.measuring.cases import Case
from lab.measuring.repeat import Tally
from lab.measuring.run import TimedCase, lock_cost
from lab.records import Holds

CASE = Case(find_lock("fcntl"), "queue", 2, "same", 0, "", 0, 0, "spread")


def shown(*pairs: int, waits: tuple[int, ...] = (5, 7)) -> Tally:
    """One repeat of two workers, of which each waited so long."""
    latencies = []
    for wait in waits:
        latencies.append(Latencies())
        latencies[-1].exact[wait] = 1
    return Tally(
        wall_ns=1000,
        pairs=list(pairs),
        latencies=latencies,
        streaks=[3, 1],
        by_second=[10.0],
        cpu_s=[0.5, 0.25],
        voluntary=2,
        involuntary=1,
        memory_bytes=4096,
        grants=4,
        handed_over=3,
    )


def timed(*tallies: Tally, reason: str = "") -> TimedCase:
    made = TimedCase(CASE, [Path()], reason)
    made.tallies = list(tallies)
    made.samples_ns = [each.pair_ns for each in tallies]
    return made


def test_all_repeats_are_summed_up() -> None:
    second = replace(shown(20, 10), streaks=[2, 9], memory_bytes=8192, overlapping=1, window=Holds(worker=[1]))
    row = lock_cost(timed(shown(10, 10), second))
    assert (row.pairs, row.overlapping, row.longest_streak, row.memory_bytes) == (50, 1, 9, 8192)
    assert (row.cpu_ns, row.voluntary_switches, row.involuntary_switches) == (1.5e9 / 50, 4 / 50, 2 / 50)
    assert (row.handed_over, row.pairs_by_second, row.holds.worker) == (0.75, [10.0, 10.0], [1])
    assert row.fairness == round((1 + 900 / 1000) / 2, 4), "the median of Jain's index of each repeat"


def test_each_worker_has_figures_of_its_own() -> None:
    one, two = lock_cost(timed(shown(10, 20), shown(5, 20))).by_worker
    assert (one.pairs, one.cpu_s, one.longest_streak, one.latency.max, one.latency.count) == (15, 1.0, 3, 5, 2)
    assert (two.pairs, two.cpu_s, two.longest_streak, two.latency.max, two.latency.count) == (40, 0.5, 1, 7, 2)


def test_latencies_are_exact_as_long_as_every_log_had_room() -> None:
    full = replace(shown(10, 10), overflowed=True)
    assert lock_cost(timed(shown(10, 10), shown(10, 10))).latency.exact
    assert not lock_cost(timed(shown(10, 10), full)).latency.exact


def test_an_outlier_is_flagged_and_stays_in_all_figures() -> None:
    row = lock_cost(timed(*(shown(pairs, 0) for pairs in (10, 11, 10, 9, 2))))
    assert (row.outliers, len(row.samples_ns), row.pairs) == ([4], 5, 42)


def test_a_case_that_was_never_measured_is_a_row_with_the_reason() -> None:
    row = lock_cost(timed(reason="no room"))
    assert (row.name, row.reason, row.samples_ns, row.pairs) == ("fcntl queue, 2 workers", "no room", [], 0)
