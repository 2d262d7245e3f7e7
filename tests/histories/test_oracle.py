"""Every algorithm says of random histories what the definition says, and each fault put into one is noticed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from lab.histories import call, exact, search, stacks
from lab.histories.automaton import Automaton, OfModel
from lab.histories.call import UNKNOWN, Call
from lab.histories.judge import as_judged, in_order
from lab.histories.models import Stack
from lab.histories.stacks import automaton_for
from tests.histories.brute import DRAWN, NAMES, TOUCHING, drawn, explained

EACH = 2000
"""So many histories are drawn for each object: 20,000 in all."""


@cache
def histories(name: str) -> list[tuple[list[Call], bool]]:
    """Histories of this object as they are judged, and whether they are linearizable by definition."""
    model, draw = DRAWN[NAMES.index(name)]
    specification = OfModel(model)
    made = TOUCHING.get(name, []) + [drawn(Random(f"{name} {seed}"), model, draw) for seed in range(EACH)]
    return [(as_judged(calls, specification), explained(calls, model)) for calls in made]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_algorithm_says_of_20_000_histories_what_the_definition_says(name: str) -> None:
    model, _ = DRAWN[NAMES.index(name)]
    specification, answer = OfModel(model), exact.EXACT.get(model)
    verdicts, answered = set(), set()
    for calls, linearizable in histories(name):
        found = search.search(calls, Automaton(specification), native=False)
        assert (found.verdict == search.YES) == linearizable, calls
        assert not linearizable or in_order(calls, specification, found.order or []), calls
        assert search.search(calls, Automaton(specification)) == found, "compiled, it visits the same configurations"
        if pruned := automaton_for(specification, [calls]):
            assert search.search(calls, pruned).verdict == found.verdict, calls
        verdicts.add(linearizable)
        if answer and not any(call.open and call.result is not UNKNOWN for call in calls):
            try:
                why = answer(calls)
            except exact.Ambiguous:
                continue
            assert (not why) == linearizable, (why, calls)
            answered.add(not why)
    assert verdicts == {True, False}
    assert answered == ({False} if model is Stack else {True, False} if answer else set())


@pytest.mark.needs("compiled")
def test_the_search_is_compiled_where_a_compiler_is() -> None:
    assert search.compiled is not None


MUTANTS = {
    "a write that changes nothing now counts as a read": (
        search, "register", "self.automaton.reads[number] and self.automaton.step", "self.automaton.step"),
    "of one moment, ends come first": (
        call, "register", "(call.end, 1, number)", "(call.end - 0.5 * (call.end > call.start), 1, number)"),
    "of two alike the one that ends last comes first": (
        search, "stack", "now.sort(key=self.returns.__getitem__)", "now.sort(key=lambda each: -self.returns[each])"),
    "to have used more of the crashed calls is as good": (
        search, "register", "each & ~frame.used == 0", "frame.used & ~each == 0"),
    "chains: ended before, or at once": (exact, "written", "if end < last_start", "if end <= last_start"),
    "first values: ended before, or at once": (
        exact, "written", "zone.first_end < head.last_start", "zone.first_end <= head.last_start"),
    "two forward zones that touch": (
        exact, "written", "other.first_end < one.last_start", "other.first_end <= one.last_start"),
    "a zone that touches a forward one": (
        exact, "written", "zone.first_end < forward[at].last_start", "zone.first_end <= forward[at].last_start"),
    "queue: put before, or at once": (exact, "queue", "ended[done][0] < start", "ended[done][0] <= start"),
    "queue: taken after, or at once": (exact, "queue", "latest > takes[value].last", "latest >= takes[value].last"),
    "queue: full until, or at once": (exact, "queue", "call.last < merged[at][1]", "call.last <= merged[at][1]"),
    "queue: spans that touch": (exact, "queue", "begin < merged[-1][1]", "begin <= merged[-1][1]"),
    "stack: pushed above, or at once": (
        exact, "stack", "bisect_right(starts, pushes", "bisect_left(starts, pushes"),
    "stack: lay there before, or at once": (
        exact, "stack", "[high].last < pop.start", "[high].last <= pop.start"),
    "stack: popped after, or at once": (exact, "stack", "pop.last < later.start", "pop.last <= later.start"),
    "stack: a state is left out for a pop at once": (
        stacks, "stack", "first_end < self._starts", "first_end <= self._starts"),
    "stack: a pop that may never have been counts": (
        stacks, "stack", " for call in pops if not call.open", " for call in pops"),
    "counter: sums that touch": (exact, "counter", "elif end < latest:", "elif end <= latest:"),
    "counter: possible until, or at once": (exact, "sums", "[0] <= first_end", "[0] < first_end"),
    "counter: over before, or at once": (exact, "sums", "ready[0] < latest", "ready[0] <= latest"),
    "counter: the last deadline first": (exact, "sums", "ready, waiting.pop()[1]", "ready, -waiting.pop()[1]"),
}  # fmt: skip
"""Faults of the checker: the module, the histories that show it, what stands there, and the fault."""


@contextmanager
def mutated(module: ModuleType, old: str, new: str) -> Iterator[ModuleType]:
    """The module of this text, with one fault, by a name of its own, in the place of the right one."""
    path = Path(module.__file__ or "")
    text = path.read_text()
    assert text.count(old) == 1, old
    spec = spec_from_file_location(f"{module.__name__}_mutant", path)
    assert spec
    mutant = module_from_spec(spec)
    mutant.__package__ = module.__package__
    sys.modules[spec.name] = mutant
    try:
        exec(compile(text.replace(old, new), str(path), "exec"), mutant.__dict__)  # noqa: S102 - our own text
        yield mutant
    finally:
        del sys.modules[spec.name]


def differs(mutant: ModuleType, name: str) -> bool:
    """Does it say of any of these histories something else than the definition?"""
    model, _ = DRAWN[NAMES.index(name)]
    specification = OfModel(model)
    for calls, linearizable in histories(name):
        if hasattr(mutant, "automaton_for"):
            said = search.search(calls, mutant.automaton_for(specification, [calls])).verdict == search.YES
        elif hasattr(mutant, "search"):
            said = mutant.search(calls, Automaton(specification), native=False).verdict == search.YES
        elif any(call.open and call.result is not UNKNOWN for call in calls):
            continue
        else:
            try:
                said = not mutant.EXACT[model](calls)
            except mutant.Ambiguous:
                continue
        if said != linearizable:
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("fault", MUTANTS)
def test_a_fault_in_the_checker_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, old, new = MUTANTS[fault]
    with mutated(module, old, new) as mutant:
        if module is call:
            monkeypatch.setattr(search, "events_of", mutant.events_of)
            mutant = search
        assert differs(mutant, name)
