"""What must hold while no worker is inside: looked at in every such state, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_uint64
from typing import Any

import pytest

from lab.errors import ScenarioError
from lab.exploring.case import Case
from lab.exploring.run import explore
from lab.records import ExploredCase
from lab.scenario import Damage, Found
from tests.exploring.worlds import scenario_of
from tests.report.explored_records import asked

SEARCHES = ("auto", "bound", "all", "states", "random", "pct")
BOTH = (("a", c_uint64), ("b", c_uint64))


def alike(self: Any, memory: Any) -> Damage | None:
    """The two fields are the same."""
    return Damage("half", 1, 1, [f"a {memory.a}, b {memory.b}"]) if memory.a != memory.b else None


def under_one_lock(self: Any, w: Any) -> None:
    with w.write_lock():
        w.memory.a += 1
        w.memory.b += 1


def under_two_locks(self: Any, w: Any) -> None:
    with w.write_lock(self.Memory.a):
        w.memory.a += 1
    with w.write_lock(self.Memory.b):
        w.memory.b += 1


def within_two_locks(self: Any, w: Any) -> None:
    with w.write_lock(self.Memory.a), w.write_lock(self.Memory.b):
        w.memory.a += 1
        w.memory.b += 1


def marks(self: Any, w: Any) -> None:
    """A mark that each worker raises under the lock, and lowers under it later: only some schedules raise both."""
    with w.write_lock():
        w.memory.a += 1
    with w.write_lock():
        w.memory.a -= 1


def one_mark(self: Any, memory: Any) -> Damage:
    return Damage("two marks", memory.a > 1, 1)


def explored(found: Found, lock: str, workers: int = 2, rounds: int = 1, **options: Any) -> ExploredCase:
    return explore(Case(found, lock, workers, rounds), asked(**options))


def pair(work: Callable[[Any, Any], None], **members: Any) -> Found:
    return scenario_of(work, *BOTH, **{"invariant": alike, **members})


@pytest.mark.parametrize(
    ("work", "lock", "workers", "verdict"),
    [
        (under_two_locks, "fcntl", 2, "broken"),
        (under_two_locks, "ofd", 2, "broken"),
        (under_two_locks, "flock", 1, "broken"),  # one worker is enough: it is between its two locks
        (under_one_lock, "fcntl", 2, "holds"),
        (within_two_locks, "fcntl", 2, "holds"),
        (within_two_locks, "flock", 2, "holds"),  # the inner unlock frees nothing
        (under_two_locks, "none", 1, "holds"),  # within a round the worker is inside
        (under_two_locks, "none", 2, "broken"),  # by lost updates, at the end
    ],
)
def test_it_is_checked_while_no_worker_holds_a_lock_and_without_a_lock_between_rounds(
    work: Callable[[Any, Any], None], lock: str, workers: int, verdict: str
) -> None:
    case = explored(pair(work), lock, workers, rounds=2)
    assert (case.verdict, case.invariant, case.exhausted) == (verdict, True, verdict == "holds")
    assert [each.kind for each in case.damage] == ["half"] * (verdict == "broken")


def test_without_an_invariant_the_same_holds_and_says_nothing_of_one() -> None:
    case = explored(scenario_of(under_two_locks, *BOTH), "fcntl")
    assert (case.verdict, case.invariant) == ("holds", False)


def test_a_worker_alone_that_leaves_it_broken_is_shown_up_to_there_with_the_reason() -> None:
    case = explored(pair(under_two_locks), "fcntl", rounds=2)
    assert (case.preemptions, case.headline) == (0, "half: worker 0 leaves it so after its unlock of a")
    assert [step.operation for step in case.steps] == ["lock", "load", "store", "unlock"]
    assert case.reasons == [
        "no other worker came in between: all of the change needs one lock",
        "after step 4 no worker holds a lock, and the invariant does not hold",
        "it found: a 1, b 0",
    ]


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_meets_it_in_the_middle_and_shows_the_shortest(search: str) -> None:
    case = explored(scenario_of(marks, *BOTH, invariant=one_mark), "fcntl", search=search)
    assert (case.verdict, case.preemptions, [each.kind for each in case.damage]) == ("broken", 1, ["two marks"])
    assert (len(case.steps), case.steps[-1].operation) == (8, "unlock")
    assert case.reasons[-1] == "after step 8 no worker holds a lock, and the invariant does not hold"


def test_states_count_the_same_schedules_as_running_all_of_them() -> None:
    found = scenario_of(marks, *BOTH, invariant=one_mark)
    by_states, by_all = (explored(found, "fcntl", search=search) for search in ("states", "all"))
    counts = [(case.interleavings, case.broken_interleavings) for case in (by_states, by_all)]
    assert counts[0] == counts[1]
    assert by_all.interleavings
    assert by_all.broken_interleavings
    assert 0 < by_all.broken_interleavings < by_all.interleavings


def test_a_search_by_classes_leaves_states_out_and_so_checks_at_the_ends_only_and_says_so() -> None:
    case = explored(pair(under_two_locks), "fcntl", search="dpor")
    assert (case.verdict, case.exhausted, case.invariant) == ("holds", True, False)
    assert case.covered.endswith("only independent steps swap; its invariant was checked at their ends only)")
    assert explored(pair(under_two_locks), "none", search="dpor").damage[0].kind == "half"


def apart(self: Any, memory: Any) -> None:
    memory.b = 1


def raises(self: Any, memory: Any) -> None:
    raise ValueError("odd")


def raises_on_half(self: Any, memory: Any) -> None:
    if memory.a != memory.b:
        raise ValueError("half")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"prepare": apart}, r"does not hold before the first round \(half; a 0, b 1\); fix prepare"),
        ({"invariant": raises}, "invariant raised ValueError: odd"),
        ({"invariant": lambda self, memory: 5}, "returned 5"),
    ],
)
def test_one_that_is_wrong_from_the_start_is_its_authors_mistake(members: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        explored(pair(under_one_lock, **members), "fcntl")


def test_one_that_raises_on_broken_bytes_is_damage() -> None:
    case = explored(pair(under_two_locks, invariant=raises_on_half), "fcntl")
    assert [each.kind for each in case.damage] == ["invariant raised"]
    assert "ValueError: half" in case.damage[0].evidence[0]
