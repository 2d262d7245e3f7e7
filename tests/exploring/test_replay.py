"""What a replay has to do, as a plan; and real processes that do it, or are seen to do otherwise."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from ctypes import c_uint64
from dataclasses import asdict
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lab import Deadlock
from lab.errors import CannotRunError
from lab.exploring import replay_worker
from lab.exploring.replay import Result, replay
from lab.exploring.replay_worker import HUB, Turn, plan_of, turns_of
from lab.exploring.search import Bounded
from lab.exploring.tally import Tally
from lab.exploring.world import World
from lab.locking import Action, Leaky, find_lock
from lab.memory import workspace
from lab.processes import WorkerPool
from lab.scenario import Damage, Found, find_scenarios
from tests.exploring.worlds import cells, follow, scenario_of, world
from tests.helpers import OtherProcess

DEFAULT = [found.name for found in find_scenarios([])]
FAILURES = [
    *[(name, "none") for name in DEFAULT],
    *[(name, lock) for name in ("short_range", "check_then_lock", "opposite_order") for lock in ("fcntl", "ofd")],
    ("check_then_lock", "flock"),
]


# Plans


def test_a_plan_has_the_turns_the_steps_with_what_they_meet_and_the_bytes_before_and_after() -> None:
    made = world("counter")
    plan = plan_of(made, bytes([0, 1, 1, 0]))
    assert (bytes(made.path), bytes(made.content)) == (b"", bytes(8))
    assert plan.turns == (Turn(0, 1, ()), Turn(1, 2, ()), Turn(0, 1, ()))
    first, second = plan.steps
    assert [(step.number, step.word, step.met) for step in first] == [(1, "load", bytes(8)), (4, "store", None)]
    assert [(step.number, step.word, step.met) for step in second] == [(2, "load", bytes(8)), (3, "store", None)]
    assert (plan.prepared, plan.final) == (bytes(8), (1).to_bytes(8, "little"))
    assert (plan.stuck, plan.raised, plan.reports) == ((), ("", ""), ((), ()))
    assert turns_of(plan, 0) == [(1, 1), (1, HUB)]  # each hands over to who is next, in the end to the parent
    assert turns_of(plan, 1) == [(2, 0)]


def test_locks_and_unlocks_are_steps_of_a_plan() -> None:
    plan = plan_of(world("counter", "fcntl"), bytes([0, 0, 0, 0, 1, 1, 1, 1]))
    assert [step.word for step in plan.steps[1]] == ["lock", "load", "store", "unlock"]
    assert plan.turns == (Turn(0, 4, ()), Turn(1, 4, ()))


def test_before_a_refusal_those_of_the_ring_wait_for_one_another() -> None:
    """Worker 0 holds a, worker 1 holds b and asks for a: refused only once worker 0 waits for b."""
    plan = plan_of(world("opposite_order", "fcntl"), bytes([0, 1, 1]))
    assert plan.turns == (Turn(0, 1, ()), Turn(1, 1, ()), Turn(1, 1, (0,)))
    assert [step.refused for step in plan.steps[1]] == [False, True]
    assert turns_of(plan, 1) == [(1, HUB), (1, HUB)]
    of_three = plan_of(world(ring(), "fcntl", workers=3), bytes([0, 1, 2, 2]))
    assert of_three.turns[-1] == Turn(2, 1, (0, 1))


def test_who_gives_up_a_shared_flock_is_sent_into_the_kernel_and_has_no_step_for_it() -> None:
    """Both hold it shared; worker 0 asks for the exclusive one, then worker 1 does, and is granted it."""
    made = world(upgrade(), "flock")
    plan = plan_of(made, bytes([0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0]))
    assert plan.turns == (Turn(0, 2, ()), Turn(1, 2, ()), Turn(1, 4, (0,)), Turn(0, 4, ()))
    assert [step.word for step in plan.steps[0]] == ["lock", "load", "lock", "store", "unlock", "unlock"]
    assert (plan.stuck, plan.last) == ((), ())


def test_workers_that_wait_for_ever_are_stuck() -> None:
    plan = plan_of(world("opposite_order", "ofd"), bytes([0, 1]))
    assert plan.stuck == plan.last == (0, 1)
    assert plan.turns == (Turn(0, 1, ()), Turn(1, 1, ()))


def test_a_plan_has_what_the_workers_reported_and_raised() -> None:
    plan = plan_of(world(raising()), bytes([0, 0, 1]))
    assert plan.reports == ((), (("half", "worker 1, round 0: 1"),))
    assert plan.raised[0] == ""
    assert plan.raised[1].startswith("ValueError: half")


# Scenarios


def ring() -> Found:
    """Worker n holds cell n and asks for the next one; refused, it lets go and reports it."""

    def work(self: Any, w: Any) -> None:
        try:
            with (
                w.write_lock(self.Memory.cells, w.index),
                w.write_lock(self.Memory.cells, (w.index + 1) % w.workers),
            ):
                w.memory.cells[w.index] += 1
        except Deadlock:
            w.damaged("refused")

    return scenario_of(work, cells(3))


def upgrade() -> Found:
    """Each worker loads under the shared lock and stores under the exclusive one that it makes of it."""

    def work(self: Any, w: Any) -> None:
        with w.read_lock(self.Memory.cells):
            seen = w.memory.cells[0]
            with w.write_lock(self.Memory.cells):
                w.memory.cells[0] = seen + 1

    return scenario_of(work, cells(2))


def half_done() -> Found:
    """A worker stores into two cells, each under its own lock; the invariant does not hold in between."""

    def work(self: Any, w: Any) -> None:
        for cell in range(2):
            with w.write_lock(self.Memory.cells, cell):
                w.memory.cells[cell] += 1

    def alike(self: Any, memory: Any) -> Damage:
        return Damage("half", memory.cells[0] != memory.cells[1], 1)

    return scenario_of(work, cells(2), invariant=alike)


def raising() -> Found:
    """A worker that meets what another has half done raises."""

    def work(self: Any, w: Any) -> None:
        if w.memory.value == 1:
            w.damaged("half", "1")
            raise ValueError("half")
        w.memory.value = 1
        w.memory.value = 2

    return broken_by_store(work)


def broken_by_store(work: Callable[[Any, Any], None], **members: Any) -> Found:
    """A scenario whose first worker is seen half done: schedules begin with its first steps."""
    return scenario_of(work, ("value", c_uint64), cells(4), **members)


def one_store(self: Any, w: Any) -> None:
    w.memory.value += 1


def store_at_start(self: Any, w: Any) -> None:
    w.memory.cells[w.index] = 7


def add_at_start(self: Any, w: Any) -> None:
    w.memory.cells[0] += 1


def prepare(self: Any, memory: Any) -> None:
    memory.value = 40
    memory.cells[3] = 9


def draw(self: Any, w: Any) -> None:
    w.memory.cells[w.random.randrange(4)] += w.random.randrange(1, 50)


def note(self: Any, w: Any) -> None:
    w.local.rounds = getattr(w.local, "rounds", 0) + 1
    w.memory.cells[w.index] = w.local.rounds


MADE: dict[str, Callable[[], Found]] = {
    "ring": ring,
    "upgrade": upgrade,
    "raising": raising,
    "half done": half_done,
    "start stores": partial(broken_by_store, one_store, start=store_at_start),
    "start adds": partial(broken_by_store, one_store, start=add_at_start),
    "prepared": partial(broken_by_store, one_store, prepare=prepare),
    "drawn": partial(broken_by_store, draw),
    "noted": partial(broken_by_store, note),
}


# Real processes


def shortest(made: World) -> bytes:
    """The first schedule that breaks, by rising preemptions."""
    tally = Tally(inf, first_only=True)
    Bounded(made, tally).run(3)
    assert tally.found
    return tally.found.schedule


def performed(made: World, schedule: bytes, times: int = 3, limit_s: float = 10.0) -> dict[str, Any]:
    """What a replay of the schedule comes to."""
    plan, result = plan_of(made, schedule), Result()
    with TemporaryDirectory() as folder, workspace(Path(folder)) as place:
        replay(plan, place, times, limit_s, result)
        assert list(place.iterdir()) == []
    told = asdict(result)
    return {name: told[name] for name in ("times", "reproduced", "divergence")}


def built_in(name: str, lock: str, workers: int = 2, rounds: int = 2) -> dict[str, Any]:
    made = world(name, lock, workers, rounds)
    return performed(made, shortest(made))


def made_up(name: str, lock: str, workers: int, rounds: int, schedule: list[int]) -> dict[str, Any]:
    """The schedule in a scenario from above, then whoever can to the end."""
    made = world(MADE[name](), lock, workers, rounds)
    follow(made, schedule)
    while choices := made.choices():
        made.do(choices[0])
    whole = bytes(made.path)
    made.back_to(0)
    return performed(made, whole)


REPRODUCED = {"times": 3, "reproduced": 3, "divergence": ""}
SCHEDULES: list[tuple[str, str, int, int, list[int]]] = [
    ("ring", "fcntl", 2, 1, [0, 1, 1]),
    ("ring", "fcntl", 2, 1, [1, 0, 0]),
    ("ring", "fcntl", 3, 1, [0, 1, 2, 2]),
    ("ring", "fcntl", 3, 1, [2, 0, 1, 0]),
    ("ring", "fcntl", 3, 1, [0, 1, 2, 1]),
    ("ring", "ofd", 2, 1, [0, 1]),
    ("ring", "ofd", 3, 1, [0, 1, 2]),
    ("ring", "flock", 3, 1, [1]),
    ("upgrade", "flock", 2, 1, [0, 0, 1, 1, 0, 1]),  # worker 0 gives its shared lock up, worker 1 converts
    ("upgrade", "fcntl", 2, 1, [0, 0, 1, 1, 1]),
    ("upgrade", "ofd", 2, 1, [0, 0, 1, 1]),
    ("raising", "none", 2, 1, [0, 0, 1]),
    ("half done", "fcntl", 2, 1, []),  # ends after worker 0's first unlock
    ("half done", "ofd", 2, 1, [1]),
    ("half done", "none", 2, 1, [0, 1, 1, 1, 1]),
    ("start stores", "none", 2, 2, [0, 1]),
    ("start adds", "none", 2, 1, [0, 1]),
    ("prepared", "none", 2, 2, [1, 0]),
    ("drawn", "none", 3, 3, [0, 1, 2, 0, 1]),
    ("noted", "none", 2, 3, [0, 1, 0]),
]


@pytest.mark.parametrize(
    ("name", "lock", "workers", "rounds"),
    [*[(name, lock, 2, 2) for name, lock in FAILURES], ("counter", "none", 3, 1)],
)
def test_a_built_in_failure_is_reproduced(other: OtherProcess, name: str, lock: str, workers: int, rounds: int) -> None:
    assert other.call(built_in, name, lock, workers, rounds) == REPRODUCED


@pytest.mark.parametrize(("name", "lock", "workers", "rounds", "schedule"), SCHEDULES)
def test_a_made_up_schedule_is_reproduced(
    other: OtherProcess, name: str, lock: str, workers: int, rounds: int, schedule: list[int]
) -> None:
    assert other.call(made_up, name, lock, workers, rounds, schedule) == REPRODUCED


# Locks that answer otherwise than the model


class Otherwise:
    """A lock that answers one request of each process otherwise: its n-th."""

    has_ranges = excludes = True
    summary = ""

    def __init__(self, name: str, number: int, answer: Callable[[], None]) -> None:
        self.name = name
        self._lock = find_lock(name)
        self._left = number
        self._answer = answer

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        acquire, release = self._lock.actions(descriptor, start, length, write=write)

        def perhaps() -> None:
            self._left -= 1
            if self._left or (self._answer is grant and start != 0):
                acquire()
            else:
                self._answer()

        return perhaps, release


def grant() -> None:
    """Without any lock."""


def refuse() -> None:
    raise OSError(errno.EDEADLK, os.strerror(errno.EDEADLK))


def run_out() -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


LOCKS: dict[str, Callable[[str], Any]] = {
    "lies": lambda name: Leaky(find_lock(name), 1.0, Random(0)),
    "lies at the second": lambda name: Otherwise(name, 2, grant),
    "refuses the first": lambda name: Otherwise(name, 1, refuse),
    "has run out": lambda name: Otherwise(name, 1, run_out),
}


def under(which: str, name: str, lock: str) -> dict[str, Any]:
    """A built-in failure, replayed under a lock that is not the one of its name."""
    vars(replay_worker)["find_lock"] = LOCKS[which]
    try:
        return built_in(name, lock, 2, 1)
    finally:
        vars(replay_worker)["find_lock"] = find_lock


GRANTED = "worker 0 is granted a lock by the kernel for which the model lets it wait"


@pytest.mark.parametrize(
    ("which", "name", "lock", "told"),
    [
        ("lies", "opposite_order", "fcntl", GRANTED),
        ("lies", "opposite_order", "ofd", GRANTED),
        (
            "lies at the second", "opposite_order", "fcntl",
            "worker 1 is granted lock 0-7 by the kernel, the model refuses it (EDEADLK)",
        ),
        (
            "refuses the first", "short_range", "fcntl",
            "at step 1 worker 0 is refused lock 8-15 by the kernel (Resource deadlock avoided), the model grants it",
        ),
        (
            "has run out", "short_range", "ofd",
            "at step 1 worker 0 is refused lock 8-15 by the kernel (No locks available), the model grants it",
        ),
    ],
)  # fmt: skip
def test_a_lock_that_answers_otherwise_is_a_divergence_with_both_answers(
    other: OtherProcess, which: str, name: str, lock: str, told: str
) -> None:
    found = other.call(under, which, name, lock)
    assert told in found["divergence"]
    assert (found["times"], found["reproduced"]) == (1, 0)


def test_a_lock_that_lies_where_nobody_waits_goes_unnoticed(other: OtherProcess) -> None:
    """A replay never asks for what is held, but where a ring is the point: it shows an order, and tests no lock."""
    assert other.call(under, "lies", "short_range", "fcntl") == REPRODUCED


def processors(refused: bool) -> dict[str, Any]:
    """How many processors those that pass the turn may use while they do, and whether the parent has its own again."""
    before, seen = os.sched_getaffinity(0), list[set[int]]()
    release = WorkerPool.release

    def look(pool: WorkerPool) -> int:
        seen.extend(os.sched_getaffinity(pid) for pid in (0, *pool.pids))
        return release(pool)

    def refuse(pool: WorkerPool) -> WorkerPool:
        seen.append(os.sched_getaffinity(0))
        raise CannotRunError("refused")

    made = world("counter", "none")
    schedule = shortest(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerPool, *("__enter__", refuse) if refused else ("release", look))
        try:
            performed(made, schedule, times=1)
        except CannotRunError:
            assert refused
    return {
        "shared": len(set(map(frozenset, seen))) == 1 == len(seen[0]),
        "processes": len(seen),
        "own again": os.sched_getaffinity(0) == before,
    }


@pytest.mark.parametrize(("refused", "processes"), [(False, 3), (True, 1)])
def test_those_that_pass_the_turn_share_a_processor_and_the_parent_gets_its_own_back(
    refused: bool, processes: int, other: OtherProcess
) -> None:
    found = other.call(processors, refused)
    assert found == {"shared": True, "processes": processes, "own again": True}
