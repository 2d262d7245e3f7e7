from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from math import factorial
from typing import Any

import pytest

from lab.errors import UsageError
from lab.exploring.simplify import world_of
from lab.exploring.strategy import SEARCHES, SHARES, TOO_MANY, Coverage, Plan, cover
from lab.exploring.tally import Tally, about, how_many, interleavings
from lab.exploring.world import World
from lab.scenario import Found
from tests.exploring.worlds import scenario_of, shape

BY_LOT = ("random", "pct")


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the time be over for each search after so many schedules."""

    def set_to(count: int) -> None:
        def late(self: Tally) -> bool:
            self.out_of_time = self.schedules >= count
            return self.out_of_time

        monkeypatch.setattr(Tally, "late", late)

    return set_to


def made(found: Found | str, lock: str = "none", workers: int = 2, rounds: int = 2) -> World:
    return world_of(shape(found, lock, workers, rounds))


def searched(world: World, search: str = "auto", **changes: Any) -> Coverage:
    """What the search covered, by default with all the time there is."""
    plan = Plan(search, preemptions=3, seed=0, started=time.monotonic(), limit_s=1e6, keep=0, jobs=1)
    coverage = Coverage()
    cover(world, replace(plan, **changes), coverage)
    return coverage


def said(coverage: Coverage) -> str:
    """The sentence about what was covered."""
    return f"{', '.join(coverage.said)}{coverage.note}"


def spinning(_: object, w: Any) -> None:
    """Waits for the other to have gone out: alone it ends, and if the other is kept from going out it does not."""
    while w.memory.value == 2 - w.index:
        pass
    w.memory.value = w.index + 1
    w.memory.value = 0


def test_auto_ends_with_the_first_failure_of_the_rising_bounds_or_with_the_bound_that_no_schedule_exceeds() -> None:
    broken, held = searched(made("counter")), searched(made("counter", "fcntl"))
    assert len(broken.tallies) == len(held.tallies) == 1
    assert broken.found
    assert (broken.schedules, broken.broken, broken.bound, broken.exhausted) == (3, 1, 0, False)
    assert (said(held), held.exhausted) == ("all 6 schedules", True)


def test_auto_goes_on_with_the_states_where_the_bounds_leave_some_out() -> None:
    coverage = searched(made("counter", "fcntl", rounds=3))
    assert (len(coverage.tallies), coverage.bound, coverage.exhausted) == (2, 3, True)
    assert coverage.states
    assert said(coverage).startswith("all 20 schedules (they lead through")


def test_auto_goes_on_by_lot_where_states_are_cut_short(stop_after: Callable[[int], None]) -> None:
    stop_after(2)
    coverage = searched(made("ring_queue", "fcntl"))
    assert len(coverage.tallies) == len(SHARES) == 4
    assert (coverage.exhausted, coverage.bound) == (False, None)
    by_lot = [text.partition(" by ")[2] for text in coverage.said][-2:]
    assert by_lot == ["random walk", "random priorities (PCT, depth 3)"]


def test_the_searches_of_auto_each_end_later_and_the_last_with_the_limit() -> None:
    shares = list(SHARES.values())
    assert list(SHARES) == ["bound", "states", "random", "pct"]
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1


def test_the_share_of_a_search_is_of_the_time_limit() -> None:
    plan = Plan("auto", 3, 0, started=100.0, limit_s=10.0, keep=2, jobs=1, kinds=frozenset({"x"}))
    tally = plan.tally(0.5, first_only=True)
    assert (tally.deadline, tally.keep, tally.kinds, tally.first_only) == (105.0, 2, frozenset({"x"}), True)


@pytest.mark.parametrize(
    ("search", "schedules", "broken", "words"),
    [
        ("all", 70, 64, "all 70 schedules"),
        ("bound", 70, 64, "all 70 schedules"),
        ("dpor", 34, 28, ""),
        ("states", None, None, "all 70 schedules"),
    ],
)
def test_a_search_that_was_asked_for_goes_on_after_the_first_failure_to_exact_counts(
    search: str, schedules: int | None, broken: int | None, words: str
) -> None:
    coverage = searched(made("counter"), search, preemptions=10)
    assert coverage.exhausted
    assert coverage.broken > 1
    assert said(coverage).startswith(words)
    assert schedules is None or (coverage.schedules, coverage.broken) == (schedules, broken)


@pytest.mark.parametrize(
    ("preemptions", "schedules", "words"),
    [(0, 2, "0 preemptions"), (1, 8, "1 preemption"), (2, 26, "2 preemptions"), (3, 44, "3 preemptions")],
)
def test_a_bound_that_was_covered_is_said_with_its_exact_count(preemptions: int, schedules: int, words: str) -> None:
    coverage = searched(made("counter"), "bound", preemptions=preemptions)
    assert (coverage.schedules, coverage.bound, coverage.exhausted) == (schedules, preemptions, False)
    locked = searched(made("bank", "fcntl"), "bound", preemptions=preemptions)
    assert said(locked) == f"all {locked.schedules:,} schedules with at most {words}"


@pytest.mark.parametrize("search", BY_LOT)
def test_a_search_by_lot_ends_with_its_first_failure_and_is_never_exhaustive(
    search: str, stop_after: Callable[[int], None]
) -> None:
    assert searched(made("counter"), search).broken == 1
    stop_after(500)
    coverage = searched(made("counter", "fcntl"), search)
    assert coverage.schedules >= 500
    assert not coverage.exhausted
    assert "all" not in said(coverage)


@pytest.mark.parametrize("search", BY_LOT)
def test_the_seed_decides_what_a_search_by_lot_draws(search: str, stop_after: Callable[[int], None]) -> None:
    stop_after(20)
    kept = [searched(made("bank", "fcntl"), search, seed=seed, keep=20).tallies[0].kept for seed in (1, 1, 2)]
    assert kept[0] == kept[1] != kept[2]


@pytest.mark.parametrize("search", [name for name in SEARCHES if name != "auto"])
@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_a_search_that_was_cut_short_claims_neither_all_nor_exhausted(
    search: str, count: int, stop_after: Callable[[int], None]
) -> None:
    stop_after(count)
    coverage = searched(made("ring_queue", "fcntl", 3), search)
    assert not coverage.exhausted
    assert "all" not in said(coverage) or "all 6 schedules with at most 0 preemptions" in said(coverage)


@pytest.mark.parametrize("count", [1, 3, 5, 7, 11, 24, 60, 200])
def test_a_bound_that_was_cut_short_claims_only_what_lies_within_the_last_whole_bound(
    count: int, stop_after: Callable[[int], None]
) -> None:
    true = [searched(made("bank", "fcntl"), "bound", preemptions=bound).schedules for bound in range(4)]
    stop_after(count)
    coverage = searched(made("bank", "fcntl"), "bound")
    if coverage.bound is None:
        assert "all" not in said(coverage)
    else:
        assert f"all {true[coverage.bound]:,} schedules with at most {coverage.bound} preemption" in said(coverage)


@pytest.mark.parametrize("search", ["auto", "bound", "all", "states", "dpor"])
def test_schedules_that_were_given_up_leave_nothing_exhausted(search: str, stop_after: Callable[[int], None]) -> None:
    stop_after(300)
    coverage = searched(made(scenario_of(spinning), rounds=1), search)
    assert any(tally.too_long for tally in coverage.tallies)
    assert not coverage.exhausted


def test_a_bound_within_which_schedules_were_given_up_was_not_covered() -> None:
    coverage = searched(made(scenario_of(spinning), rounds=1), "bound")
    assert coverage.tallies[0].too_long
    assert coverage.bound == 0
    assert said(coverage) == "all 2 schedules with at most 0 preemptions"


def test_only_the_wanted_kinds_count_as_broken() -> None:
    assert not searched(made("counter"), "all", kinds=frozenset({"torn"})).found
    assert searched(made("counter"), "all", kinds=frozenset({"lost update"})).broken == 64


@pytest.mark.parametrize(
    ("workers", "rounds", "count"), [(2, 1, 6), (2, 2, 70), (2, 3, 924), (3, 1, 90), (3, 2, 34_650), (4, 1, 2_520)]
)
def test_without_a_lock_the_schedules_of_workers_that_never_branch_are_counted(
    workers: int, rounds: int, count: int
) -> None:
    assert how_many(made("counter", "none", workers, rounds)) == count


@pytest.mark.parametrize(
    ("name", "schedules"), [("counter", 6), ("ring_queue", 70), ("sparse_pages", 142), ("bank", 231_662)]
)
def test_under_locks_the_number_of_schedules_is_estimated_and_the_world_left_at_its_beginning(
    name: str, schedules: int
) -> None:
    world = made(name, "fcntl")
    assert schedules / 4 < how_many(world) < schedules * 4
    assert (bytes(world.path), bytes(world.content), world.state) == (b"", world.initial, 0)


@pytest.mark.parametrize("steps", [[], [1], [3, 3], [4, 2, 1], [1] * 6])
def test_workers_who_never_wait_go_in_as_many_orders_as_their_steps_can_be_shuffled(steps: list[int]) -> None:
    expected = factorial(sum(steps))
    for mine in steps:
        expected //= factorial(mine)
    assert interleavings(steps) == expected


ROUNDED = {"6": 6, "34,650": 34_650, "10^6": 5 * 10**6, "10^30": 5 * 10**30, "10^6,000": 5 * 10**6_000}


@pytest.mark.parametrize("text", ROUNDED)
def test_the_number_of_schedules_is_never_given_as_exact(text: str) -> None:
    """Workers that branch on what they load have more schedules, or fewer, than those that run alone show."""
    assert about(ROUNDED[text]) == f"about {text}"


def test_more_schedules_than_anybody_can_run_are_refused_where_every_one_is_to_be_run() -> None:
    world = made("counter", "none", 3, 8)
    with pytest.raises(UsageError) as raised:
        searched(world, "all")
    assert interleavings([16] * 3) > TOO_MANY
    assert str(raised.value).startswith("counter under none: 3 workers x 8 rounds have about 10^")
    assert "too many for --search all; lower --workers or --rounds" in str(raised.value)
    assert searched(world).found
