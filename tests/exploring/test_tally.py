from __future__ import annotations

from math import inf

import pytest

from lab.exploring.tally import Tally
from tests.exploring.worlds import follow, world


def test_schedules_are_counted_and_the_first_that_breaks_is_found_and_ends_no_search_for_all() -> None:
    made, tally = world("counter"), Tally(inf)
    for schedule, broken in (([0, 0, 1, 1], 0), ([0, 1, 0, 1], 1), ([0, 1, 1, 0], 2)):
        assert not tally.add(follow(made, schedule))
        made.back_to(0)
        assert (tally.broken, bool(tally.found)) == (broken, broken > 0)
    assert tally.found
    assert tally.found.schedule == b"\0\1\0\1"
    assert tally.found.end.kinds == {"lost update"}
    assert (tally.schedules, tally.over, tally.complete) == (3, False, True)


def test_a_search_for_the_first_is_told_to_stop_there_and_is_over() -> None:
    tally = Tally(inf, first_only=True)
    assert not tally.add(follow(world("counter"), [0, 0, 1, 1]))
    assert not tally.over
    assert tally.add(follow(world("counter"), [0, 1, 0, 1]))
    assert (tally.over, tally.complete) == (True, False)


@pytest.mark.parametrize(("kinds", "broken"), [(set(), 1), ({"lost update"}, 1), ({"lost update", "x"}, 1), ({"x"}, 0)])
def test_only_damage_of_the_wanted_kinds_counts(kinds: set[str], broken: int) -> None:
    tally = Tally(inf, kinds=frozenset(kinds))
    tally.add(follow(world("counter"), [0, 1, 0, 1]))
    assert tally.broken == broken
    assert bool(tally.found) == bool(broken)


def test_a_schedule_that_grew_too_long_leaves_the_search_incomplete() -> None:
    tally = Tally(inf)
    assert tally.complete
    assert not tally.give_up()
    assert (tally.too_long, tally.complete) == (1, False)


def test_the_clock_is_looked_at_after_every_schedule_one_that_grew_too_long_too() -> None:
    tally = Tally(deadline=0.0)
    assert tally.add(follow(world("counter"), [0, 0, 1, 1]))
    assert (tally.out_of_time, tally.complete) == (True, False)
    assert Tally(0).give_up()


@pytest.mark.parametrize("keep", [0, 1, 5])
def test_no_more_schedules_are_kept_than_asked_for(keep: int) -> None:
    made, tally = follow(world("counter"), [0, 0, 1, 1]), Tally(inf, keep=keep)
    for _ in range(3):
        tally.add(made)
    assert tally.kept == [b"\0\0\1\1"] * min(keep, 3)


def test_whoever_is_told_hears_of_the_counts_and_may_end_the_search() -> None:
    heard: list[tuple[int, int]] = []

    def told(mine: Tally) -> bool:
        heard.append((mine.schedules, mine.broken))
        return len(heard) == 2

    made, tally = follow(world("counter"), [0, 1, 0, 1]), Tally(inf, report=told)
    assert [tally.add(made), tally.add(made)] == [False, True]
    assert heard == [(1, 1), (2, 2)]
    assert not tally.complete
