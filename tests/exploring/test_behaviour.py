"""What one worker does is learned by running its text alone against what it is to meet."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_char
from itertools import count
from typing import Any

import pytest

from lab import Deadlock
from lab.errors import CannotRunError, ScenarioError
from lab.exploring.behaviour import Behaviour, alone
from lab.exploring.node import GRANTED, REFUSED, Node
from lab.exploring.operation import LOAD
from lab.exploring.sandbox import NotDeterministic
from lab.exploring.search import every_schedule
from tests.exploring.worlds import Endings, Work, cells, scenario_of, shape, world


def learned(
    work: Work, *fields: Any, lock: str = "none", rounds: int = 1, longest: int = 100, **members: Any
) -> Behaviour:
    """The tree of worker 0 after it ran alone over zeros, for so many steps at most."""
    made = shape(scenario_of(work, *fields, **members), lock, 2, rounds)
    behaviour = Behaviour(made, 0, bytes(made.layout.size))
    alone(behaviour, behaviour.started, longest)
    return behaviour


def go(behaviour: Behaviour, node: Node, *mets: Any) -> Node:
    """Where the worker is once it has met all that from this node on."""
    for met in mets:
        node = node.next.get(met) or behaviour.learn(node, met)
    return node


def again(behaviour: Behaviour) -> None:
    """Run the first branch once more."""
    behaviour.again(branch(behaviour.root)[-1])


def word(number: int) -> bytes:
    return number.to_bytes(8, "little")


def branch(node: Node) -> list[Node]:
    """The node and what followed it first, and so on to the end."""
    found = [node]
    while found[-1].next:
        found.append(next(iter(found[-1].next.values())))
    return found


def steps(node: Node) -> list[str]:
    return [repr(each.operation) for each in branch(node) if each.operation]


def add(_: object, w: Any) -> None:
    with w.write_lock():
        w.memory.value += 1


def spin(_: object, w: Any) -> None:
    """Goes on until it meets another value than 0."""
    while not w.memory.value:
        pass


def spin_inside(_: object, w: Any) -> None:
    with w.write_lock():
        spin(_, w)


def fail_inside(_: object, w: Any) -> None:
    with w.write_lock():
        raise KeyError


def test_the_first_run_learns_a_branch_to_its_end() -> None:
    behaviour = learned(add, rounds=2)
    nodes = branch(behaviour.root)
    assert steps(behaviour.root) == ["load 0-7", "store 0-7"] * 2
    assert [node.data for node in nodes] == [b"", word(1), b"", word(2), b""]
    assert [node.round for node in nodes] == [0, 0, 1, 1, 1]
    assert nodes[3].history() == [word(0), None, word(1)]
    assert nodes[-1].ended
    assert (behaviour.runs, behaviour.nodes) == (1, 5)


@pytest.mark.parametrize(
    ("work", "rounds", "expected"),
    [
        (add, 1, ["lock 0-", "load 0-7", "store 0-7", "unlock 0-"]),
        (fail_inside, 3, ["lock 0-", "unlock 0-"]),
        (spin_inside, 1, ["lock 0-"] + ["load 0-7"] * 3),
    ],
    ids=["locks are steps", "who raises unlocks first", "a run that is given up leaves its locks without a step"],
)
def test_steps_under_a_lock(work: Work, rounds: int, expected: list[str]) -> None:
    assert steps(learned(work, lock="fcntl", rounds=rounds, longest=3 if work is spin_inside else 100).root) == expected


def test_a_load_that_meets_other_bytes_is_a_branch_of_its_own() -> None:
    behaviour = learned(add)
    store = go(behaviour, behaviour.root, word(41))
    assert go(behaviour, store, None).ended
    assert store.data == word(42)
    assert set(behaviour.root.next) == {word(0), word(41)}
    assert (behaviour.runs, behaviour.nodes) == (2, 4)


def test_a_worker_branches_on_what_it_meets_and_not_on_what_lies_elsewhere() -> None:
    behaviour = learned(lambda _, w: w.memory.cells[0], cells(2))
    assert go(behaviour, behaviour.root, b"\x01").ended
    assert set(behaviour.root.next) == {b"\0", b"\x01"}


def test_a_run_goes_on_from_where_it_stands_and_begins_anew_for_another_branch() -> None:
    behaviour = learned(add, rounds=3)
    assert behaviour.runs == 1
    store = go(behaviour, behaviour.root, word(5))
    assert behaviour.runs == 2
    go(behaviour, store, None, word(6), None, word(9), None)
    assert behaviour.runs == 2
    go(behaviour, store, None, word(7))
    assert behaviour.runs == 3


def test_its_own_stores_are_met_again() -> None:
    def store_and_load(_: object, w: Any) -> None:
        w.memory.value = 7
        w.memory.value += 1

    assert [each.data for each in branch(learned(store_and_load).root)] == [word(7), b"", word(8), b""]


def test_a_lock_branches_on_being_refused() -> None:
    def try_it(_: object, w: Any) -> None:
        try:
            with w.write_lock():
                w.memory.value = 1
        except Deadlock:
            w.memory.value = 2

    behaviour = learned(try_it, lock="fcntl")
    refused = go(behaviour, behaviour.root, REFUSED)
    assert set(behaviour.root.next) == {GRANTED, REFUSED}
    assert steps(refused) == ["store 0-7"]
    assert go(behaviour, refused, None).ended
    assert refused.data == word(2)


def test_what_a_worker_reports_or_raises_is_kept_at_the_end_of_its_branch() -> None:
    def report(_: object, w: Any) -> None:
        seen = w.memory.value
        w.damaged("seen", f"{seen}")
        if seen == 3:
            raise KeyError("three")

    behaviour = learned(report)
    other, first = go(behaviour, behaviour.root, word(3)), branch(behaviour.root)[-1]
    assert (first.seen, first.failed) == ((("seen", "worker 0, round 0: 0"),), None)
    assert other.seen == (("seen", "worker 0, round 0: 3"),)
    assert isinstance(other.failed, KeyError)
    assert other.ended


def test_what_start_does_is_no_step_and_its_bytes_are_the_first() -> None:
    def start(_: object, w: Any) -> None:
        with w.write_lock():
            w.memory.value = 5

    behaviour = learned(add, start=start)
    assert behaviour.started == word(5)
    assert steps(behaviour.root) == ["load 0-7", "store 0-7"]
    assert set(behaviour.root.next) == {word(5)}


def test_each_run_begins_with_fresh_notes_and_the_same_draws() -> None:
    def note(_: object, w: Any) -> None:
        w.local.loads = getattr(w.local, "loads", 0) + 1
        w.memory.value = 10 * w.local.loads + w.random.randrange(10)

    behaviour = learned(note, rounds=2)
    again(behaviour)
    assert behaviour.runs == 2


@pytest.mark.parametrize("longest", [1, 7, 50])
def test_a_run_without_an_end_is_given_up_its_steps_are_kept_and_another_branch_can_end(longest: int) -> None:
    behaviour = learned(spin, longest=longest)
    nodes = branch(behaviour.root)
    assert steps(behaviour.root) == ["load 0-7"] * (longest + 1)
    assert not nodes[-1].ended
    assert go(behaviour, nodes[longest // 2], word(1)).ended


def test_the_last_step_of_a_run_that_was_given_up_is_learned_when_it_is_taken() -> None:
    def fill(_: object, w: Any) -> None:
        for number in range(1, 100):
            w.memory.value = number

    behaviour = learned(fill, longest=4)
    last = branch(behaviour.root)[-1]
    following = go(behaviour, last, None)
    assert last.data == word(5)
    assert repr(following.operation) == "store 0-7"


def test_each_start_meets_the_first_bytes() -> None:
    def start(_: object, w: Any) -> None:
        w.memory.value += 1
        w.local.first = w.memory.value

    def work(_: object, w: Any) -> None:
        w.memory.value = w.local.first

    behaviour = learned(work, start=start)
    again(behaviour)
    assert behaviour.started == behaviour.root.data == word(1)


def test_a_run_that_is_given_up_ends_although_the_scenario_catches_everything_once() -> None:
    def catch(_: object, w: Any) -> None:
        for _ in range(2):
            with suppress(BaseException):
                spin(_, w)

    behaviour = learned(catch, longest=3)
    assert go(behaviour, behaviour.root, word(1)).operation


def unsteady(source: Any) -> Work:
    """A round that stores what the source says next."""

    def work(_: object, w: Any) -> None:
        w.memory.value = next(source)

    return work


@pytest.mark.parametrize(
    "source",
    [iter(time.perf_counter_ns, None), iter(lambda: random.getrandbits(60), None), count()],
    ids=["the clock", "randomness of its own", "state of its own"],
)
def test_a_scenario_that_is_not_deterministic_is_refused_with_the_step(source: Any) -> None:
    with pytest.raises(NotDeterministic, match=r"scenario made .* after 1 steps worker 0, .* stores ") as caught:
        world(scenario_of(unsteady(source)))
    assert "not deterministic" in str(caught.value)
    assert "let only w.memory, w.index, w.round and w.random decide" in str(caught.value)
    assert caught.value.exit_code == 3


def other_steps(turn: int, w: Any) -> None:
    _ = w.memory.cells[turn]


def store_in(only: int) -> Callable[[int, Any], None]:
    """A round that stores in this run alone."""

    def store(turn: int, w: Any) -> None:
        if turn == only:
            w.memory.cells[0] = 1

    return store


def report_turn(turn: int, w: Any) -> None:
    w.memory.cells[0] += 1
    w.damaged("seen", f"{turn}")


def raise_later(turn: int, w: Any) -> None:
    w.memory.cells[0] += 1
    if turn:
        raise KeyError


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (other_steps, "is about to load 1-1, and before was about to load 0-0"),
        (store_in(0), "has finished"),
        (store_in(1), "is about to store"),
        (report_turn, "not deterministic"),
        (raise_later, "not deterministic"),
    ],
    ids=["other steps", "fewer steps", "more steps", "other reports", "an exception"],
)
def test_what_differs_the_second_time_is_noticed(act: Callable[[int, Any], None], said: str) -> None:
    turns = count()
    behaviour = learned(lambda _, w: act(next(turns), w), cells(9))
    with pytest.raises(NotDeterministic, match=said):
        again(behaviour)


def test_a_branch_that_is_come_to_differently_is_noticed_while_it_is_learned() -> None:
    turns = count()

    def work(_: object, w: Any) -> None:
        _ = w.memory.value
        if next(turns) > 1:
            w.memory.value = 7
        _ = w.memory.value

    behaviour = learned(work)
    again(behaviour)
    second = branch(behaviour.root)[1]
    with pytest.raises(NotDeterministic):
        behaviour.learn(second, word(1))


@pytest.mark.parametrize("name", ["reopen", "stale", "twin", "die", "path"])
def test_what_bypasses_the_memory_is_refused(name: str) -> None:
    with pytest.raises(CannotRunError, match=rf"w\.{name}: that bypasses w\.memory"):
        learned(lambda _, w: w.path if name == "path" else getattr(w, name)())


def test_a_range_that_the_memory_does_not_have_is_kept_as_what_the_worker_raised() -> None:
    behaviour = learned(lambda scenario, w: w.write_lock(scenario.Memory.value, 3), lock="fcntl")
    assert isinstance(behaviour.root.failed, ScenarioError)


def test_an_exception_in_start_is_told_with_its_method() -> None:
    def start(_: object, w: Any) -> None:
        raise KeyError("nothing there")

    with pytest.raises(ScenarioError, match="start raised KeyError: 'nothing there'"):
        learned(add, start=start)


def test_what_a_run_in_one_order_left_behind_does_not_decide_another() -> None:
    """A text that is shorter than its field leaves the rest as it was, and that others may have stored."""

    def work(_: object, w: Any) -> None:
        w.memory.name = b"x" if w.index == 0 else b"ABCDEFG"

    tally = Endings()
    every_schedule(world(scenario_of(work, ("name", c_char * 8))), tally)
    assert {each.content for each in tally.met} == {b"x\0CDEFG\0", b"ABCDEFG\0"}


def test_a_store_that_fails_stores_nothing() -> None:
    def work(_: object, w: Any) -> None:
        if w.index:
            w.memory.value = 5
            return
        try:
            w.memory.value = "five"
        except TypeError:
            w.damaged("refused")

    tally = Endings()
    every_schedule(world(scenario_of(work)), tally)
    assert {each.content for each in tally.met} == {word(5)}


def test_the_text_runs_once_for_each_experience_and_not_for_each_schedule() -> None:
    made = world("counter", workers=2, rounds=3)
    tally = Endings()
    every_schedule(made, tally)
    different = sum(
        node.operation is not None and node.operation.kind == LOAD and len(node.next) - 1
        for behaviour in made.behaviours
        for node in nodes_of(behaviour.root)
    )
    assert tally.schedules == 924
    assert sum(behaviour.runs for behaviour in made.behaviours) <= different + 2 * 2 + 20


def nodes_of(root: Node) -> list[Node]:
    """All nodes of a tree."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(node.next.values())
    return found
