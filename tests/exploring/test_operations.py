"""Structures with operations: the programs that are made of them, and the verdicts of the monitor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ctypes import Structure, c_uint64
from dataclasses import replace
from itertools import permutations, repeat
from math import inf
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import pytest

from lab import Operations, UsageError, Worker
from lab.api import verbs
from lab.errors import LabError
from lab.exploring import behaviour
from lab.exploring.calls import CallsWorld, calls_in
from lab.exploring.search import every_schedule, every_state
from lab.exploring.simplify import STEPS, world_of
from lab.exploring.tally import Tally
from lab.exploring.worker import shape_of
from lab.exploring.world import World
from lab.gallery import operations_names
from lab.histories.automaton import freeze
from lab.histories.call import Call, call_text
from lab.records import ExploredCase
from lab.scenario import Found, find_scenarios
from lab.scenario.operations import filled, numbers_of, programs, with_program
from tests.helpers import run_lab

RIGHT = operations_names()
EVERY = {found.name: found for found in find_scenarios(RIGHT)}
MUTANTS = {
    "event:loses_signals": (6, "signal() poll() | poll()"),
    "fetch_and_add:no_lock": (0, "add() | add()"),
    "hash_map:finds_first": (19, "put(1, 10) get(1) | put(3, 20)"),
    "hash_map:remembers": (50, "get(1) get(1) | put(1, 10)"),
    "node_stack:counts_nothing": (57, "take(0) take(0) give(0) take(0) | take(1)"),
    "queue:counts_first": (1, "put(10) | take()"),
    "register:reads_outside": (1, "write(10) | read()"),
    "ring:two_ranges": (1, "put(10) | take()"),
    "seqlock:looks_once": (1, "write(10) | read()"),
    "stack:checks_first": (6, "push(10) pop() | pop()"),
}
"""What breaks, after how many programs that hold, and by which program."""


def explored(found: Found, lock: str = "fcntl", **options: Any) -> ExploredCase:
    (case,) = verbs.explore([found], lock=[lock], **options).perform(lambda _: None).cases
    return case


def modelless(found: Found) -> Found:
    return replace(found, kind=type(found.kind.__name__, (found.kind,), {"Model": None}))


def world(found: Found, program: Sequence[Sequence[Call]], lock: str = "fcntl") -> Any:
    kind: Any = found.kind
    mine = replace(found, kind=with_program(kind, tuple(map(tuple, program))))
    return world_of(shape_of(mine, lock, len(program), max(map(len, program)), 64))


def worlds(name: str, sizes: Sequence[int]) -> Iterator[CallsWorld]:
    kind: Any = EVERY[name].kind
    for size in sizes:
        for program in programs(kind, size, [2, 3]):
            yield world(EVERY[name], program)


def text_of(case: ExploredCase) -> str:
    """The program that breaks: the calls of worker 0, then those of worker 1."""
    assert case.programs
    found = case.token.split(",")[3].partition(":")[2] if case.token else ""
    kind: Any = EVERY[case.scenario].kind
    program = filled(kind, [[int(each) for each in mine.split(".")] for mine in found.split("-")])
    assert [list(mine) for mine in numbers_of(kind, program)] == [
        [int(each) for each in mine.split(".")] for mine in found.split("-")
    ]
    return " | ".join(" ".join(map(call_text, mine)) for mine in program)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_structure_holds_in_all_programs_with_and_without_its_model(name: str) -> None:
    case = explored(EVERY[name], operations=3, time_limit=100.0)
    assert (case.verdict, case.exhausted, case.as_expected) == ("holds", True, True)
    assert case.programs
    assert case.programs.count == (15 if name != "hash_map" else 94)
    if name in ("node_stack", "queue"):  # one keeps notes, the layout of the other depends on the program
        return
    alone = explored(modelless(EVERY[name]), operations=3, time_limit=100.0)
    assert (alone.verdict, alone.programs) == (case.verdict, case.programs)


def test_five_operations_of_the_ring_are_161_programs_and_23_976_states() -> None:
    case = explored(EVERY["ring"], operations=5, time_limit=100.0)
    assert case.covered == (
        "all 161 programs of up to 5 operations by 2 or 3 workers (their schedules lead through 23,976 states, each of "
        "which was reached)"
    )


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found_with_its_smallest_program_and_replayed_by_its_results(name: str, tmp_path: Path) -> None:
    case = explored(EVERY[name], time_limit=100.0)
    assert case.programs
    assert (case.verdict, case.as_expected, case.damage[0].kind) == ("broken", True, "not linearizable")
    assert (case.programs.count, text_of(case)) == MUTANTS[name]
    assert case.programs.orders
    assert all(case.programs.calls[order.calls[-1]].result != order.would_give for order in case.programs.orders)
    done = run_lab("replay", str(case.token), "--times", "3", "--dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "reproduced 3 of 3" in done.stdout
    if name not in ("node_stack:counts_nothing", "hash_map:remembers", "queue:counts_first"):
        alone = explored(modelless(EVERY[name]), time_limit=100.0)
        assert (alone.verdict, alone.programs) == (case.verdict, case.programs)


def explains(kind: Any, calls: Sequence[Call]) -> bool:
    """By the definition: some order that the times allow gives every result."""

    def gives(order: Sequence[Call]) -> bool:
        model = kind.Model()
        return all(freeze(getattr(model, call.name)(*call.args), ordered=False) == call.result for call in order)

    def fits(order: Sequence[Call]) -> bool:
        return not any(later.last < earlier.start for at, earlier in enumerate(order) for later in order[at + 1 :])

    return any(fits(order) and gives(order) for order in permutations(calls))


MOST = 3_000


class Judged(Tally):
    """Compares the monitor's verdict on each schedule with the definition's."""

    def add(self, world: Any) -> bool:
        found = "not linearizable" in world.end().kinds
        path = bytes(world.path)
        world.back_to(0)
        kind = type(world.shape.scenario)
        assert found is not explains(kind, calls_in(world, path)), (kind.program, path)
        world.follow(path)
        self.schedules += 1
        self.broken += found
        return self.schedules >= MOST


@pytest.mark.parametrize("name", ["event:loses_signals", "fetch_and_add:no_lock", "register", "stack:checks_first"])
def test_the_monitor_says_of_every_schedule_what_the_definition_says(name: str) -> None:
    found = {True: 0, False: 0}
    for each in worlds(name, [2, 3]):
        every_schedule(each, tally := Judged(inf))
        found[True] += tally.broken
        found[False] += tally.schedules - tally.broken
    assert found[False]
    assert bool(found[True]) == (":" in name)


def test_the_monitor_adds_few_states() -> None:
    plain = monitored = 0
    for name in ("ring", "register", "stack", "fetch_and_add"):
        for each in worlds(name, [2, 3]):
            monitored += every_state(each, Tally(inf))[0]
            plain += every_state(World(each.shape, STEPS), Tally(inf))[0]
    assert plain <= monitored <= 1.3 * plain


def ends(name: str, program: Sequence[Sequence[Call]]) -> tuple[set[Any], int]:
    """What each end of a program leaves: the bytes, and the results of each worker; and the number of states."""
    found = set()

    class Kept(Tally):
        def add(self, world: Any) -> bool:
            found.add((bytes(world.content), tuple(node.results for node in world.at)))
            return super().add(world)

    return found, every_state(world(EVERY[name], program), Kept(inf))[0]


@pytest.mark.parametrize("name", ["seqlock", "seqlock:looks_once", "node_stack", "node_stack:counts_nothing"])
def test_retries_that_know_the_same_are_one_state_and_no_end_is_lost(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Any = EVERY[name].kind
    saved = 0
    for program in [*programs(kind, 2, [2]), *programs(kind, 3, [2])]:
        merged, few = ends(name, program)
        with monkeypatch.context() as apart:
            apart.setattr(behaviour, "known_by", lambda *_: None)
            separate, many = ends(name, program)
        assert merged == separate, program
        saved += many - few
    assert saved > 0 or name == "seqlock:looks_once"


class Retries(Operations):
    """Operations that pause, of which none waits for a store: each pause is followed to what comes after it."""

    class Memory(Structure):
        _fields_ = (("value", c_uint64),)

    def give_up(self, w: Worker) -> bool:
        """Counts its tries in an iterator, where no variable shows it."""
        for _ in repeat(None, 2):
            if not w.memory.value:
                return True
            w.pause()
        return False

    def read_twice(self, w: Worker) -> int:
        """Returns what it read twice: the variable tells the tries apart."""
        before = None
        while (now := w.memory.value) != before:
            before = now
            w.pause()
        return int(now)

    def on_stack(self, w: Worker) -> int:
        """Keeps what it read in the middle of an expression, where no variable shows it."""
        while (found := self._both(w.memory.value, self._later(w))) is None:
            pass
        return found

    def _later(self, w: Worker) -> int:
        w.pause()
        return int(w.memory.value)

    def _both(self, before: int, now: int) -> int | None:
        return before if before == now else None

    def read(self, w: Worker) -> int:
        return int(w.memory.value)

    def write(self, w: Worker) -> None:
        for number in (1, 2, 3):
            w.memory.value = number
            w.pause()


@pytest.mark.parametrize(
    ("operation", "results"),
    [("give_up", {True, False}), ("read_twice", {0, 1, 2, 3}), ("on_stack", {0, 1, 2, 3}), ("read", {0, 1, 2, 3})],
)
def test_an_operation_that_pauses_is_followed_to_all_that_it_can_give(operation: str, results: set[Any]) -> None:
    met = set()

    class Kept(Tally):
        def add(self, world: Any) -> bool:
            met.add(world.at[0].results)
            return super().add(world)

    every_state(world(Found("retries", Retries, ""), [[Call(0, operation)], [Call(1, "write")]], "none"), Kept(inf))
    assert met == {(freeze(result),) for result in results}


def test_operations_are_not_asked_of_what_has_none() -> None:
    with pytest.raises(UsageError, match="--operations: counter has rounds, no operations"):
        verbs.explore(find_scenarios(["counter"]), operations=3)


class Nothing(Operations):
    class Memory(Structure):
        _fields_ = (("value", c_uint64),)


class Silent(Nothing):
    def put(self, w: Worker, item) -> None:  # type: ignore[no-untyped-def]
        """Does not say what it is called with."""


class Half(Nothing):
    class Model:
        def put(self) -> None:
            """Puts."""

    def put(self, w: Worker) -> None:
        """Puts."""

    def take(self, w: Worker) -> None:
        """Takes."""


class Raises(Nothing):
    class Model:
        def put(self) -> None:
            raise ValueError("full")

    def put(self, w: Worker) -> None:
        w.memory.value = 1


class Yields(Nothing):
    def put(self, w: Worker) -> Iterator[int]:
        yield w.memory.value


class Many(Nothing):
    calls = "x"  # type: ignore[assignment]

    def put(self, w: Worker) -> None:
        """Puts."""


class Locked(Nothing):
    class Model:
        def __init__(self) -> None:
            self.lock = Lock()

        def put(self) -> None:
            """Puts."""

    def put(self, w: Worker) -> None:
        """Puts."""


class Keeps(Nothing):
    def put(self, w: Worker, key: Literal[1, 2]) -> int:
        w.local.seen = w.memory.value
        return key


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Nothing, {}, "Nothing has no operations; define methods with the worker as their first parameter"),
        (Silent, {}, "Silent.put: parameter item does not say what it is called with; annotate it with int"),
        (Half, {}, "Half.Model has no take; give it the operations of Half"),
        (Raises, {}, r"model Model: put\(\) raised ValueError: full"),
        (Keeps, {}, "Keeps: without a Model .* cannot use start, w.local, w.index or w.random there"),
        (Yields, {}, "Yields.put: has a yield, or is async; let an operation return its result"),
        (Many, {}, "Many.calls is 'x'; give a whole number from 2"),
        (Locked, {}, "model Locked.Model: its state cannot be copied"),
        (Keeps, {"search": "dpor"}, "--search dpor treats orders as equal that the calls can tell apart"),
        (Keeps, {"search": "pct"}, "--search pct has no end; use states, all or bound"),
        (Keeps, {"crash": ["kill"]}, "operations do not crash; write a Scenario with `recover`"),
        (Keeps, {"workers": [5]}, "5 workers need so many --operations at least, not 4"),
    ],
)
def test_what_cannot_be_explored_is_told_with_its_cure(kind: Any, options: Any, message: str) -> None:
    with pytest.raises(LabError, match=message):
        explored(Found("made", kind, ""), **options)


class Order(Nothing):
    """Breaks only where the worker with fewer calls is the first."""

    class Model:
        def step(self, me: int) -> int:
            return 0

    def step(self, w: Worker, me: int) -> int:
        if me:
            w.memory.value += 1
            return 0
        before = w.memory.value
        return int(w.memory.value - before == 2)


def test_where_operations_ask_who_they_are_each_worker_makes_each_part_of_a_program() -> None:
    case = explored(Found("order", Order, ""), "none", operations=3, workers=[2])
    assert case.verdict == "broken"
    assert case.programs
    assert [each.worker for each in case.programs.calls].count(1) == 2


def test_a_token_of_other_calls_does_not_fit() -> None:
    token = str(explored(EVERY["ring:two_ranges"]).token)
    parts = token.split(",")
    for shape, message in (("2x1:0-7", "it has fewer operations"), ("2x1", "it has other operations")):
        changed = ",".join([*parts[:3], shape, *parts[4:-1]])
        with pytest.raises(UsageError, match=message):
            _reproduced(f"{changed},{_checksum(changed)}")


def _checksum(text: str) -> str:
    from lab.exploring.token import digest

    return digest(text, 4)


def _reproduced(token: str) -> None:
    from lab.exploring.replay import reproduce
    from lab.records import ReplayOptions

    reproduce(ReplayOptions(token, 1, "/tmp", 1.0))  # noqa: S108 - it is refused before it writes
