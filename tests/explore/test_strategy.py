from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from math import factorial
from typing import Any

import pytest

from lab.errors import UsageError
from lab.explore.simplify import world_of
from lab.explore.strategy import SEARCHES, SHARES, TOO_MANY, Coverage, Plan, cover
from lab.explore.tally import Tally, about, how_many, interleavings
from lab.explore.world import World
from lab.scenario import Found
from tests.explore.worlds import scenario_of, shape

EXHAUSTIVE = ("bound", "all", "states", "dpor")
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


def test_auto_ends_with_the_first_failure_of_the_rising_bounds() -> None:
    coverage = searched(made("counter"))
    assert len(coverage.tallies) == 1
    assert coverage.found
    assert (coverage.schedules, coverage.broken, coverage.bound) == (3, 1, 0)
    assert not coverage.exhausted


def test_auto_ends_with_the_bound_that_no_schedule_exceeds() -> None:
    coverage = searched(made("counter", "fcntl"))
    assert len(coverage.tallies) == 1
    assert coverage.exhausted
    assert said(coverage) == "all 6 schedules"


def test_auto_goes_on_with_the_states_where_the_bounds_leave_some_out() -> None:
    coverage = searched(made("counter", "fcntl", rounds=3))
    assert len(coverage.tallies) == 2
    assert coverage.exhausted
    assert coverage.bound == 3
    assert coverage.states
    assert said(coverage).startswith("all 20 schedules (they lead through")


def test_auto_goes_on_by_lot_where_states_are_cut_short(stop_after: Callable[[int], None]) -> None:
    stop_after(3)
    coverage = searched(made("bank", "fcntl"))
    assert len(coverage.tallies) == len(SHARES) == 4
    assert not coverage.exhausted
    assert [text.partition(" by ")[2] for text in coverage.said][-2:] == [
        "random walk",
        "random priorities (PCT, depth 3)",
    ]


def test_the_searches_of_auto_each_end_later_and_the_last_with_the_limit() -> None:
    shares = list(SHARES.values())
    assert list(SHARES) == ["bound", "states", "random", "pct"]
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1


def test_the_share_of_a_search_is_of_the_time_limit() -> None:
    plan = Plan("auto", 3, 0, started=100.0, limit_s=10.0, keep=2, jobs=1, kinds=frozenset({"x"}))
    tally = plan.tally(0.5, first_only=True)
    assert (tally.deadline, tally.keep, tally.kinds, tally.first_only) == (
        105.0,
        2,
        frozenset({"x"}),
        True,
    )


@pytest.mark.parametrize("search", EXHAUSTIVE)
def test_a_search_that_was_asked_for_goes_on_after_the_first_failure(search: str) -> None:
    coverage = searched(made("counter"), search, preemptions=10)
    assert coverage.broken > 1
    assert coverage.exhausted


@pytest.mark.parametrize(
    ("search", "schedules", "broken"), [("all", 70, 64), ("bound", 70, 64), ("dpor", 34, 28), ("states", None, None)]
)
def test_the_counter_is_exhausted_with_exact_counts(search: str, schedules: int | None, broken: int | None) -> None:
    coverage = searched(made("counter"), search, preemptions=10)
    assert coverage.exhausted
    assert said(coverage).startswith("all 70 schedules") or search == "dpor"
    if schedules:
        assert (coverage.schedules, coverage.broken) == (schedules, broken)


@pytest.mark.parametrize(("preemptions", "schedules"), [(0, 2), (1, 8), (2, 26), (3, 44)])
def test_a_bound_is_told_with_its_exact_count(preemptions: int, schedules: int) -> None:
    coverage = searched(made("counter", rounds=2), "bound", preemptions=preemptions)
    assert coverage.schedules == schedules
    assert coverage.bound == preemptions
    assert not coverage.exhausted


@pytest.mark.parametrize(("preemptions", "words"), [(0, "0 preemptions"), (1, "1 preemption"), (2, "2 preemptions")])
def test_a_bound_that_was_covered_is_said(preemptions: int, words: str) -> None:
    coverage = searched(made("bank", "fcntl"), "bound", preemptions=preemptions)
    assert said(coverage) == f"all {coverage.schedules:,} schedules with at most {words}"


@pytest.mark.parametrize("search", BY_LOT)
def test_a_search_by_lot_ends_with_its_first_failure(search: str) -> None:
    coverage = searched(made("counter"), search)
    assert coverage.broken == 1


@pytest.mark.parametrize("search", BY_LOT)
def test_a_search_by_lot_is_never_exhaustive(search: str, stop_after: Callable[[int], None]) -> None:
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
    coverage = searched(made("counter", "fcntl", 3, 3), search)
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


def test_auto_cut_short_everywhere_is_not_exhausted(stop_after: Callable[[int], None]) -> None:
    stop_after(2)
    coverage = searched(made("bank", "fcntl", rounds=1, workers=3))
    assert not coverage.exhausted
    assert coverage.bound is None or coverage.bound < 3


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


@pytest.mark.parametrize("search", ["bound", "all", "dpor", "random", "pct"])
def test_the_first_schedules_are_kept_to_be_shown(search: str, stop_after: Callable[[int], None]) -> None:
    stop_after(50)
    assert len(searched(made("bank", "fcntl"), search, keep=3).tallies[0].kept) == 3


@pytest.mark.parametrize(
    ("workers", "rounds", "count"), [(2, 1, 6), (2, 2, 70), (2, 3, 924), (3, 1, 90), (3, 2, 34_650), (4, 1, 2_520)]
)
def test_without_a_lock_the_schedules_of_workers_that_never_branch_are_counted(
    workers: int, rounds: int, count: int
) -> None:
    assert how_many(made("counter", "none", workers, rounds)) == count


@pytest.mark.parametrize("steps", [[], [1], [3, 3], [4, 2, 1], [1] * 6])
def test_workers_who_never_wait_go_in_as_many_orders_as_their_steps_can_be_shuffled(steps: list[int]) -> None:
    expected = factorial(sum(steps))
    for mine in steps:
        expected //= factorial(mine)
    assert interleavings(steps) == expected


@pytest.mark.parametrize(
    ("name", "schedules"), [("counter", 6), ("ring_queue", 70), ("sparse_pages", 142), ("bank", 231_662)]
)
def test_under_locks_the_number_of_schedules_is_estimated(name: str, schedules: int) -> None:
    assert schedules / 4 < how_many(made(name, "fcntl")) < schedules * 4


def test_the_number_of_schedules_is_never_given_as_exact() -> None:
    """Workers that branch on what they load have more schedules, or fewer, than those that run alone show."""
    assert about(6) == "about 6"
    assert about(34_650) == "about 34,650"


@pytest.mark.parametrize("power", [6, 30, 6_000])
def test_a_large_number_of_schedules_is_given_by_its_power_of_ten(power: int) -> None:
    assert about(5 * 10**power) == f"about 10^{power:,}"


def test_counting_leaves_the_world_at_its_beginning() -> None:
    world = made("bank", "fcntl")
    how_many(world)
    assert (bytes(world.path), bytes(world.content), world.state) == (b"", world.initial, 0)


def test_more_schedules_than_anybody_can_run_are_refused_with_their_number_and_a_way_out() -> None:
    with pytest.raises(UsageError) as raised:
        searched(made("counter", "none", 3, 8), "all")
    text = str(raised.value)
    assert interleavings([16] * 3) > TOO_MANY
    assert text.startswith("counter under none: 3 workers x 8 rounds have about 10^")
    assert "too many for --search all; lower --workers or --rounds" in text


def test_too_many_are_refused_only_where_every_schedule_is_to_be_run() -> None:
    assert searched(made("counter", "none", 3, 8)).found
