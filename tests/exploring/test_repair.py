"""The reason of a failure is what repairs it: held against the explorer that runs all workers at once."""

from __future__ import annotations

from functools import cache
from math import inf
from typing import Any

import pytest

from lab.exploring.reasons import Story, story
from lab.exploring.run import damage_records
from lab.exploring.search import Bounded
from lab.exploring.simplify import Cut, Repair, cuts_of
from lab.exploring.tally import Tally
from lab.exploring.trace import WAITS, trace
from lab.exploring.world import World, damage_of
from lab.locking.registry import MODELLED
from lab.records import Step
from lab.scenario import Found, find_scenarios
from tests.exploring.joint import Joint
from tests.exploring.worlds import cells, scenario_of, world

GALLERY = {
    found.name: found
    for found in find_scenarios([], counterexamples=True) + find_scenarios([])
    if "explore" in found.kind.worlds
}
PREEMPTIONS = 3


def two_locks() -> Found:
    """One write over two cells, each under a lock of its own."""

    def work(self: Any, w: Any) -> None:
        for cell in (0, 1):
            with w.write_lock(self.Memory.cells, cell):
                w.memory.cells[cell] = w.index + 1

    return checked(work, lambda memory: memory.cells[0] != memory.cells[1])


def end_before_record() -> Found:
    """The end is moved under the lock, before the record is there."""

    def work(self: Any, w: Any) -> None:
        with w.write_lock(self.Memory.cells, 0):
            end = w.memory.cells[0]
            w.memory.cells[0] = end + 1
        w.memory.cells[1 + end] = 7
        with w.read_lock(self.Memory.cells, 0):
            newest = w.memory.cells[0]
            if not w.memory.cells[newest]:
                w.damaged("not there yet")

    return checked(work, lambda memory: False)


def upgrade() -> Found:
    """What was read under the shared lock is written under the exclusive one that it is made."""

    def work(self: Any, w: Any) -> None:
        with w.read_lock(self.Memory.cells):
            seen = w.memory.cells[0]
            with w.write_lock(self.Memory.cells):
                w.memory.cells[0] = seen + 1

    return checked(work, lambda memory: memory.cells[0] != 2)


def two_flags() -> Found:
    """Each raises its flag and then looks at the other's: one at least is to see the other."""

    def work(self: Any, w: Any) -> None:
        w.memory.cells[w.index] = 1
        w.memory.cells[2 + w.index] = w.memory.cells[1 - w.index]

    return checked(work, lambda memory: not memory.cells[2] and not memory.cells[3])


def torn(length: int) -> Found:
    """A copy that comes apart within a line."""

    def work(self: Any, w: Any) -> None:
        record = w.bytes(self.Memory.cells)
        if len(set(record[:length])) > 1:
            w.damaged("torn")
        record[:length] = bytes([w.index + 1]) * length

    return scenario_of(work, cells(64))


def checked(work: Any, is_broken: Any) -> Found:
    from lab import Damage

    def check(self: Any, memory: Any, outcome: Any) -> Any:
        return Damage("broken", int(is_broken(memory)), 1)

    return scenario_of(work, cells(8), check=check)


MADE = {
    "two_locks": two_locks(),
    "end_before_record": end_before_record(),
    "upgrade": upgrade(),
    "two_flags": two_flags(),
    "torn12": torn(12),
    "torn24": torn(24),
}


def case(name: str, lock: str) -> World:
    """Two workers; those of the gallery do two rounds, for some break only then."""
    return world(MADE[name], lock, 2, 1) if name in MADE else world(GALLERY[name], lock, 2, 2)


@cache
def failure(name: str, lock: str) -> tuple[bytes, list[Step], Story] | None:
    """The first schedule that breaks with the fewest preemptions, its steps and what is told of it."""
    made, tally = case(name, lock), Tally(inf, first_only=True)
    Bounded(made, tally).run(PREEMPTIONS)
    if not tally.found:
        return None
    schedule = tally.found.schedule
    steps, end = trace(made, schedule)
    return schedule, steps, story(steps, damage_records(end), lock, fixes=Repair(made, schedule).fixes)


def broken() -> list[tuple[str, str]]:
    """Scenarios of the gallery and made up ones, and the locks under which they break."""
    expected = [(name, lock) for name in GALLERY for lock in MODELLED if GALLERY[name].kind().expected(lock) != "clean"]
    return expected + [(name, lock) for name in MADE for lock in MODELLED if failure(name, lock)]


BROKEN = broken()


def ends_well(name: str, lock: str, schedule: bytes, cut: Cut, *, late: bool) -> bool:
    """True where all workers at once, in this order but with the cut worker's steps on end, leave no damage."""
    worker = schedule[cut.place]
    mine = [at for at in range(cut.place + 1, len(schedule)) if schedule[at] == worker][: cut.more]
    end = mine[-1] + 1 if len(mine) == cut.more else len(schedule)
    others = [each for each in schedule[cut.place : end] if each != worker]
    before, rest = list(schedule[: cut.place]), list(schedule[end:])
    wanted: list[tuple[int, bool]] = [(each, False) for each in before + (others if late else [])]
    wanted += [(worker, True)] * (cut.more + 1)
    wanted += [(each, False) for each in ([] if late else others) + rest]
    taken: list[int] = []
    unbroken = True

    def pick(possible: list[int]) -> int:
        nonlocal unbroken
        while wanted:
            each, must = wanted.pop(0)
            if each in possible:
                taken.append(each)
                return each
            unbroken = unbroken and (not must or at_once.workers[each].next is None)
        taken.append(taken[-1] if taken[-1] in possible else possible[0])
        return taken[-1]

    shape = case(name, lock).shape
    at_once = Joint(shape)
    run = at_once.run(pick)
    reports = [report for each in run.reports for report in each]
    return unbroken and not any(run.left) and not any(run.failed) and not damage_of(shape, run.content, reports)


@pytest.mark.parametrize(("name", "lock"), BROKEN)
def test_the_steps_that_are_blamed_repair_the_schedule_where_nobody_comes_between_them(name: str, lock: str) -> None:
    found = failure(name, lock)
    assert found
    schedule, _, told = found
    assert told.cut, told
    assert told.reasons
    assert any(ends_well(name, lock, schedule, told.cut, late=late) for late in (False, True)), told


@pytest.mark.parametrize(("name", "lock"), [each for each in BROKEN if each[0] in ("counter", *MADE)])
def test_which_cuts_repair_a_schedule_both_explorers_say_alike(name: str, lock: str) -> None:
    found = failure(name, lock)
    assert found
    schedule, steps, _ = found
    repair = Repair(case(name, lock), schedule)
    answers = set()
    for cut in cuts_of(steps):
        well = any(ends_well(name, lock, schedule, cut, late=late) for late in (False, True))
        assert repair.fixes(cut) == well, cut
        answers.add(well)
    assert True in answers or any(step.value == WAITS for step in steps)


def test_every_lock_and_most_of_the_gallery_break_somewhere() -> None:
    assert {lock for _, lock in BROKEN} == set(MODELLED)
    assert len({name for name, _ in BROKEN}) >= len(MADE) + 12


TOLD = {
    ("two_locks", "fcntl"): "broken: worker 1 comes between what worker 0 does to cells[0] and to cells[1]",
    (
        "end_before_record",
        "fcntl",
    ): "not there yet: worker 0 comes between what worker 1 does to cells[0] and to cells[2]",
    ("upgrade", "flock"): "broken: worker 1 overwrites what worker 0 stored in cells[0]",
    ("torn24", "none"): "torn: worker 1 loads cells while worker 0 is storing it",
}


@pytest.mark.parametrize(("case", "headline"), TOLD.items())
def test_the_right_steps_are_named(case: tuple[str, str], headline: str) -> None:
    found = failure(*case)
    assert found
    assert found[2].headline == headline


def test_what_breaks_also_one_after_the_other_blames_no_order() -> None:
    def work(self: Any, w: Any) -> None:
        w.memory.cells[0] = 1

    name = "typing error"
    MADE[name] = checked(work, lambda memory: memory.cells[0] != 2)
    found = failure(name, "fcntl")
    assert found
    assert found[2] == Story(
        "broken: without any interleaving",
        ["each worker had finished before the next one began, so no order of steps is to blame"],
    )
