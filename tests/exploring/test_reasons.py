from __future__ import annotations

from math import inf
from typing import Any

import pytest

from lab.exploring.reasons import Story, story
from lab.exploring.search import Bounded
from lab.exploring.tally import Tally
from lab.exploring.trace import trace
from lab.records import Damage, Step
from lab.scenario import Damage as Told
from lab.scenario import Found
from tests.exploring.worlds import cells, scenario_of, world
from tests.report.explored_records import STEPS, step

A: dict[str, Any] = {"field": "a"}
B: dict[str, Any] = {"field": "b", "start": 8}
C: dict[str, Any] = {"field": "c", "start": 16}
LOST = [
    "worker 0 stored 1 because it had loaded 0",
    "it loaded 0 because worker 1 had not yet stored 1",
    "so worker 1's addition is lost",
]
RING = ["worker 1 holds b and asks for a, which worker 0 holds"]


def told(steps: list[Step], kind: str = "broken", lock: str = "none") -> Story:
    return story(steps, [Damage(kind, 1, 1, [])], lock)


def both(worker: int, operation: Any, value: int) -> list[Step]:
    """The same step in two fields."""
    return [step(worker, operation, value, **A), step(worker, operation, value, **B)]


def first_failure(found: Found | str, lock: str = "none", rounds: int = 1, **options: Any) -> Story:
    """The story of the first schedule that breaks, fewest preemptions first."""
    made = world(found, lock, 2, rounds, **options)
    tally = Tally(inf, first_only=True)
    Bounded(made, tally).run(3)
    assert tally.found
    steps, end = trace(made, tally.found.schedule)
    return story(steps, [Damage(each.kind, each.count, each.of, list(each.evidence)) for each in end.damage], lock)


def record(worker: int, number: int, operation: Any = "store", text: str = "") -> Step:
    """One line of a long access to a field named record."""
    low, content = 64 * number, (text or f"0{worker + 1}") * 64
    return step(worker, operation, content, field=f"record[{low}:{low + 64}]", start=low, length=64)


STORIES: dict[str, tuple[list[Step], str, str, list[str]]] = {
    "a lost update": (STEPS, "lost update", "worker 0 overwrites what worker 1 stored in value", LOST),
    "updates lost in several fields": (
        [*both(0, "load", 0), *both(1, "load", 0), *both(1, "store", 1), *both(0, "store", 1)],
        "broken",
        "worker 0 overwrites what worker 1 stored in a and b",
        [f"{field}: {line}" for field in "ab" for line in LOST],
    ),
    "a record left of two stores": (
        [record(0, 0), record(1, 0), record(1, 1), record(0, 1)],
        "mixed record",
        "worker 0 and worker 1 store record at the same time",
        [
            "record[64:128] is left from worker 0 because it stored there after worker 1",
            "record[0:64] is left from worker 1 because it stored there after worker 0",
            "so what is left is part the one's, part the other's",
        ],
    ),
    "foreign bytes": (
        [step(0, "store", 7), step(1, "store", 9), step(0, "load", 9)],
        "foreign bytes",
        "worker 1 stores over what worker 0 had just put into value",
        [
            "worker 0 loaded 9 although it had stored 7",
            "it loaded that because worker 1 stored 9 in between",
            "so worker 0 does not find what is its own",
        ],
    ),
    "a look at what is half done": (
        [step(0, "store", 1), step(1, "load", 1), step(0, "store", 2)],
        "broken",
        "worker 1 looks while worker 0 is half done with value",
        [
            "worker 1 loaded 1 because worker 0 had stored it",
            "worker 0 had not yet stored 2",
            "so worker 1 saw what was never meant to be seen",
        ],
    ),
    "two looks that do not belong together": (
        [step(0, "load", 1), step(1, "store", 2), step(0, "load", 2)],
        "broken",
        "worker 1 stores between two looks of worker 0 at value",
        [
            "worker 0 loaded 1, and then 2",
            "worker 1 stored 2 in between",
            "so worker 0's two looks do not belong together",
        ],
    ),
    "no pattern: its switches": (
        [step(0, "store", 1, **A), step(1, "load", 0, **B, turn="preempted"), step(0, "store", 1, **B, turn="free")],
        "skew",
        "worker 0 and worker 1",
        ["worker 1 took its turn after worker 0 had done store a, before it could go on"],
    ),
}


@pytest.mark.parametrize(("steps", "kind", "headline", "reasons"), STORIES.values(), ids=STORIES)
def test_each_pattern_has_its_headline_and_its_reasons(
    steps: list[Step], kind: str, headline: str, reasons: list[str]
) -> None:
    assert told(steps, kind) == Story(f"{kind}: {headline}", reasons)


def test_the_sides_of_a_lost_update_are_named_by_what_they_did() -> None:
    mirrored = [step(1, "load", 0), step(0, "load", 0), step(0, "store", 1), step(1, "store", 1)]
    assert told(mirrored).reasons == [
        "worker 1 stored 1 because it had loaded 0",
        "it loaded 0 because worker 0 had not yet stored 1",
        "so worker 0's addition is lost",
    ]


def test_a_store_that_does_not_grow_the_value_is_no_addition() -> None:
    steps = [step(0, "load", 5), step(1, "store", 2), step(0, "store", 6)]
    assert told(steps).reasons[-1] == "so worker 1's store is lost"


def test_the_counter_is_told_in_the_words_of_the_contract() -> None:
    assert first_failure("counter") == Story("lost update: worker 0 overwrites what worker 1 stored in value", LOST)


def test_of_many_fields_only_the_first_three_are_told() -> None:
    fields: list[dict[str, Any]] = [{"field": name, "start": 16 * at} for at, name in enumerate("abcde")]
    steps = [
        *(step(0, "load", 0, **each) for each in fields),
        *(step(1, "store", 1, **each) for each in fields),
        *(step(0, "store", 1, **each) for each in fields),
    ]
    assert told(steps).headline.endswith("in a and b and c")
    assert len(told(steps).reasons) == 9


def test_a_load_that_meets_an_old_and_a_new_part_is_a_torn_load() -> None:
    steps = [record(0, 0), record(1, 0, "load", "01"), record(1, 1, "load", "00"), record(0, 1)]
    said = told(steps, "torn record")
    assert said.headline == "torn record: worker 1 loads record while worker 0 is storing it"
    assert any("record[0:64]" in line and "had" in line for line in said.reasons)
    assert any("record[64:128]" in line and "not yet" in line for line in said.reasons)


@pytest.mark.parametrize(
    ("steps", "pattern"),
    [
        ([record(1, 0, "load", "00"), record(1, 1, "load", "00"), record(0, 0), record(0, 1)], "while"),
        ([record(0, 0), record(0, 1), record(1, 0), record(1, 1)], "at the same time"),
        ([step(0, "load", 0), step(1, "store", 1, field="other", start=8), step(0, "store", 1)], "overwrites"),
    ],
    ids=["only old parts are not torn", "one after the other is not mixed", "other bytes are not overwritten"],
)
def test_what_did_not_happen_is_not_told(steps: list[Step], pattern: str) -> None:
    assert pattern not in told(steps).headline


def test_a_lost_update_is_told_before_looks_that_do_not_belong_together() -> None:
    steps = [*both(0, "load", 0), *both(1, "store", 1), step(0, "load", 1, **A), step(0, "store", 1, **B)]
    assert "overwrites" in told(steps).headline


def test_a_refused_lock_is_told_as_a_ring_of_two() -> None:
    refused: list[Step] = [
        step(0, "lock", "exclusive", **A),
        step(1, "lock", "exclusive", **B),
        step(1, "lock", "EDEADLK", **A),
    ]
    after = [step(1, "unlock", **B), step(0, "lock", "exclusive", **B)]
    assert told([*refused, *after], "deadlock (EDEADLK)", "fcntl") == Story(
        "deadlock (EDEADLK): worker 1 and worker 0 each hold what the other waits for",
        [
            *RING,
            "worker 0 waits for b, which worker 1 holds",
            "so the kernel refuses worker 1 (EDEADLK): its wait would close the ring",
        ],
    )
    given_back = [step(1, "lock", "exclusive", **C), step(1, "unlock", **C)]
    assert told([*given_back, *refused]).reasons[:1] == RING


def test_the_opposite_order_is_told_as_a_ring_under_posix_locks() -> None:
    said = first_failure("opposite_order", "fcntl")
    assert "each hold what the other waits for" in said.headline
    assert said.reasons[-1].startswith("so the kernel refuses worker")


def test_a_deadlock_is_told_by_who_waits_for_whom() -> None:
    said = first_failure("opposite_order", "ofd")
    assert said.headline == "deadlock: worker 0 and worker 1 wait for each other"
    assert sorted(said.reasons) == [
        "so none of them can go on",
        "worker 0 waits for b, which worker 1 holds",
        "worker 1 waits for a, which worker 0 holds",
    ]
    assert said.reasons[-1] == "so none of them can go on"


def test_a_worker_that_finished_has_no_part_in_a_deadlock() -> None:
    def work(scenario: Any, w: Any) -> None:
        first, second = [(0, 1), (1, 0), (2, 3)][w.index]
        lock = w.write_lock
        with lock(scenario.Memory.cells, first), lock(scenario.Memory.cells, second):
            pass

    made = world(scenario_of(work, cells(4)), "ofd", 3)
    steps, end = trace(made, bytes([2, 2, 2, 2, 0, 1]))
    damage = [Damage(each.kind, each.count, each.of, list(each.evidence)) for each in end.damage]
    assert story(steps, damage, "ofd").headline == "deadlock: worker 0 and worker 1 wait for each other"


def test_a_lock_that_does_not_cover_what_broke_is_named() -> None:
    said = first_failure("short_range", "fcntl")
    assert said.headline == "lost update: worker 0 overwrites what worker 1 stored in total"
    last = said.reasons[-1]
    assert last.startswith("the lock did not help: ")
    assert "a lock on cells[0], which does not cover it" in last
    assert "total" in last


def test_a_lock_that_was_not_yet_held_is_told_as_that() -> None:
    said = first_failure("check_then_lock", "fcntl")
    assert said.reasons[-1].startswith("the lock did not help: ")
    assert "it held no lock" in said.reasons[-1]


@pytest.mark.parametrize(
    ("before", "blamed"),
    [
        ([step(0, "lock", "exclusive"), step(0, "unlock")], True),
        ([step(0, "lock", "shared")], False),
        ([step(0, "lock", "shared", field="the file", length=0)], False),
    ],
    ids=["given back before", "it covers what broke", "to the end of the file"],
)
def test_a_lock_is_blamed_only_where_it_was_not_held(before: list[Step], blamed: bool) -> None:
    reasons = told([*before, *STEPS], lock="fcntl").reasons
    assert ("it held no lock" in reasons[-1], any("did not help" in line for line in reasons)) == (blamed, blamed)


def test_without_a_lock_none_is_blamed() -> None:
    assert not any("lock" in line for line in first_failure("short_range").reasons)


def test_a_schedule_without_a_switch_names_its_workers_and_has_a_reason() -> None:
    said = told([step(0, "store", 1), step(1, "load", 1, turn="free")], "odd")
    assert said.headline == "odd: worker 0 and worker 1"
    assert said.reasons


def test_without_damage_the_story_still_has_a_headline() -> None:
    assert story(STEPS, [], "none").headline.startswith("damage: ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("counter", "lost update: worker 0 overwrites what worker 1 stored in value"),
        ("append_log", "lost record: worker 0 overwrites what worker 1 stored in tail"),
        ("linked_list", "lost node: worker 0 overwrites what worker 1 stored in first"),
        ("sparse_pages", "lost mark: worker 0 overwrites what worker 1 stored in pages[0].marks[0]"),
    ],
)
def test_the_built_in_scenarios_name_the_field_that_lost(name: str, said: str) -> None:
    assert first_failure(name).headline == said


@pytest.mark.parametrize("name", ["torn_record", "readers_writers", "overlap"])
def test_long_records_are_told_as_torn_between_a_load_and_a_store(name: str) -> None:
    said = first_failure(name, rounds=2)
    assert said.headline.endswith("is storing it")
    assert said.reasons[-1] == "so what it read is part new, part old"


def test_a_lock_that_is_released_between_two_accesses_that_belong_together_is_named() -> None:
    """A write over two chunks, each under a lock of its own: a report from the public."""

    def work(self: Any, w: Any) -> None:
        for chunk in range(2):
            with w.write_lock(self.Memory.cells, 2 * chunk, 2):
                w.memory.cells[1 + chunk] = w.index + 1

    def check(self: Any, memory: Any, outcome: Any) -> Told:
        return Told("mixed write", int(memory.cells[1] != memory.cells[2]), 1)

    assert first_failure(scenario_of(work, cells(4), check=check), "fcntl") == Story(
        "mixed write: worker 1 comes between what worker 0 does to cells[1] and to cells[2]",
        [
            "cells[1] is left from worker 1 because it stored there after worker 0",
            "cells[2] is left from worker 0 because it stored there after worker 1",
            "so what is left is part the one's, part the other's",
            "the lock did not help: worker 0 released cells[0:2] before it came to cells[2]",
        ],
    )
