from __future__ import annotations

from ctypes import c_uint64
from typing import Any

import pytest

from lab import Deadlock
from lab.exploring.dpor import Dpor
from lab.exploring.operation import Operation
from lab.exploring.search import every_schedule
from lab.exploring.world import World
from lab.scenario import Found
from tests.exploring.programs import LOCKS, by_brute_force, drawn, seeds, texts_of
from tests.exploring.worlds import Endings, Work, cells, scenario_of, world

pytestmark = pytest.mark.slow

Taken = tuple[int, Operation]
"""A step that was taken: who and what."""

MOST = 300
"""Normal forms are looked for in programs with no more schedules."""


def classes(made: World, **options: Any) -> tuple[Dpor, Endings]:
    tally = Endings(**options)
    dpor = Dpor(made, tally)
    dpor.run()
    return dpor, tally


def every(made: World) -> Endings:
    tally = Endings()
    every_schedule(made, tally)
    return tally


def normal_form(made: World, schedule: bytes) -> tuple[tuple[int, int], ...]:
    """The same for two schedules that differ only in the order of neighbouring steps that are independent.

    Steps go as early as those before them that they depend on let them (Foata): a layer each, then by worker.
    """
    layers: list[list[Taken]] = []
    for worker in schedule:
        operation = made.at[worker].operation
        assert operation
        at = 1 + max(
            (n for n, layer in enumerate(layers) if any(bound(step, (worker, operation)) for step in layer)), default=-1
        )
        layers[at:] = layers[at:] or [[]]
        layers[at].append((worker, operation))
        made.do(worker)
    made.back_to(0)
    return tuple(sorted((n, worker) for n, layer in enumerate(layers) for worker, _ in layer))


def bound(one: Taken, other: Taken) -> bool:
    """True when the two cannot change places."""
    return one[0] == other[0] or one[1].depends_on(other[1])


def private_slots() -> Found:
    """Each worker adds 1 to a word of its own, then 1 to a shared one."""

    def work(_: object, w: Any) -> None:
        w.memory.slots[w.index] += 1
        w.memory.total += 1

    return scenario_of(work, ("slots", c_uint64 * 3), ("total", c_uint64))


@pytest.mark.parametrize(("workers", "rounds", "expected"), [(2, 1, 4), (2, 2, 34), (3, 1, 36), (3, 2, 7_134)])
def test_the_counter_has_so_many_classes(workers: int, rounds: int, expected: int) -> None:
    dpor, tally = classes(world("counter", workers=workers, rounds=rounds))
    assert (tally.schedules, dpor.blocked) == (expected, 0)
    assert tally.complete


def test_steps_on_private_slots_make_no_classes() -> None:
    assert every(world(private_slots(), workers=3)).schedules == 34_650
    assert classes(world(private_slots(), workers=3))[1].schedules == 36


def add_to_its_own(_: object, w: Any) -> None:
    w.memory.cells[w.index] += 1


def only_load(_: object, w: Any) -> None:
    _ = w.memory.cells[0], w.memory.cells[0]


def share_a_lock(_: object, w: Any) -> None:
    with w.read_lock():
        _ = w.memory.cells[0]


def lock_its_own(scenario: Any, w: Any) -> None:
    with w.write_lock(scenario.Memory.cells, w.index):
        w.memory.cells[w.index] += 1


@pytest.mark.parametrize(
    ("work", "lock", "workers"),
    [(add_to_its_own, "none", 4), (only_load, "none", 4), (share_a_lock, "fcntl", 3), (lock_its_own, "fcntl", 3)],
)
def test_workers_whose_steps_are_independent_have_one_class(work: Work, lock: str, workers: int) -> None:
    assert classes(world(scenario_of(work, cells(4)), lock, workers=workers))[1].schedules == 1


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
def test_under_a_lock_each_order_of_the_rounds_is_a_class(lock: str) -> None:
    assert classes(world("counter", lock, rounds=2))[1].schedules == 6
    assert classes(world("counter", lock, workers=3))[1].schedules == 6


def forms_run(made: World, paths: list[bytes]) -> list[tuple[tuple[int, int], ...]]:
    """The normal form of each schedule that the search runs, which are those of all schedules."""
    run = [normal_form(made, path) for path in classes(made)[1].paths]
    assert set(run) == {normal_form(made, path) for path in paths}
    return run


@pytest.mark.parametrize(
    ("name", "lock", "workers", "rounds"),
    [
        ("counter", "none", 2, 2),
        ("counter", "none", 3, 1),
        ("counter", "none", 2, 3),
        ("bank", "none", 2, 1),
        ("append_log", "none", 2, 1),
        ("check_then_lock", "fcntl", 2, 2),
        ("short_range", "ofd", 2, 1),
        ("opposite_order", "ofd", 2, 1),
    ],
)
def test_one_schedule_of_each_class_is_run(name: str, lock: str, workers: int, rounds: int) -> None:
    made = world(name, lock, workers, rounds)
    run = forms_run(made, every(made).paths)
    assert len(set(run)) == len(run)


@pytest.mark.parametrize(
    ("name", "ends"), [("one_name_beside", 12), ("locks_the_saved", 4), ("in_place", 10), ("name_not_synced", 10)]
)
def test_every_end_of_calls_on_files_is_met(name: str, ends: int) -> None:
    made = world(f"saved_by_rename:{name}", "fcntl" if name == "locks_the_saved" else "none")
    all_of_them, run = every(made), classes(made)[1]
    assert run.met == all_of_them.met
    assert (len(run.met), len(run.paths) < len(all_of_them.paths)) == (ends, True)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_class_of_small_random_programs_is_run_and_without_refusals_once(lock: str) -> None:
    for seed in seeds(lock, 40, MOST):
        found = drawn(seed)
        run = forms_run(world(found, lock, len(texts_of(found))), by_brute_force(seed, lock, MOST).paths)
        assert len(set(run)) == len(run) or lock in ("fcntl", "flock"), seed


def test_a_lock_that_waits_when_nobody_can_go_on_is_raced_too() -> None:
    """The ring closes only in the orders that begin with both first locks, which no lock that was taken tells of."""
    tally = classes(world("opposite_order", "ofd", rounds=1))[1]
    assert frozenset({"deadlock"}) in {each.kinds for each in tally.met}
    assert frozenset[str]() in {each.kinds for each in tally.met}


def test_either_worker_of_a_ring_can_be_the_refused_one() -> None:
    def work(scenario: Any, w: Any) -> None:
        both = scenario.Memory.cells
        try:
            with w.write_lock(both, w.index), w.write_lock(both, 1 - w.index):
                pass
        except Deadlock:
            w.damaged(f"refused {w.index}")

    tally = classes(world(scenario_of(work, cells(2)), "fcntl"))[1]
    assert {each.kinds for each in tally.met} == {frozenset({"refused 0"}), frozenset({"refused 1"}), frozenset()}


def test_whom_a_writer_is_taken_to_wait_for_depends_on_which_reader_came_first() -> None:
    """Two readers come in either order; the writer waits for the first, and only then may the other close a ring."""

    def work(scenario: Any, w: Any) -> None:
        both = scenario.Memory.cells
        try:
            if w.index == 0:
                with w.read_lock(both, 0):
                    w.memory.cells[2] = 1
            elif w.index == 1:
                with w.read_lock(both, 0), w.write_lock(both, 1):
                    pass
            else:
                with w.write_lock(both, 1), w.write_lock(both, 0):
                    pass
        except Deadlock:
            w.damaged(f"refused {w.memory.cells[2]}")

    made = world(scenario_of(work, cells(3)), "fcntl", workers=3)
    assert classes(made)[1].met == every(made).met


def test_under_flock_reading_and_then_writing_is_no_conversion() -> None:
    """A race of the writing lock with a step before the reading lock was given back asks about no such state."""

    def work(_: object, w: Any) -> None:
        with w.read_lock():
            w.memory.value += 1
        if w.index == 0:
            with w.write_lock():
                pass

    made = world(scenario_of(work), "flock")
    assert classes(made)[1].met == every(made).met
