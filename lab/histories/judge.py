"""Judge a history: each part of the object by itself, by the exact answers where there are, else by the search.

Calls on different keys of a map never meet: a history is linearizable where that of each key is. The parts are searched
with limits that rise together, so that one that is quickly shown not to be linearizable is found soon.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import search
from .automaton import Automaton, OfModel, Specification
from .call import UNKNOWN, Call
from .exact import EXACT, Ambiguous
from .stacks import automaton_for

Verdict = Literal["linearizable", "not linearizable", "unknown"]

FIRST_LIMIT, MOST = 1000, 1 << 60


@dataclass(slots=True)
class Budget:
    """How long a judgement may take: until a moment of time.monotonic(), and so many configurations.

    `memory` returns how many bytes more the process uses than at first; `most_bytes` are what it may.
    """

    until: float = float("inf")
    configurations: int = MOST
    memory: Callable[[], int] = lambda: 0
    most_bytes: int = 1 << 62
    reason: str = ""

    def is_spent(self) -> bool:
        """Return True where time or memory is used up, and note which."""
        if time.monotonic() > self.until:
            self.reason = "time"
        elif self.memory() > self.most_bytes:
            self.reason = "memory"
        return bool(self.reason)


@dataclass(slots=True)
class Judgement:
    """A verdict, and what it rests on.

    `exact` and `searched` count the parts that each way answered. Of a part that no order explains `calls` are its
    calls, as they were judged, `why` is a reason in words where an exact answer gave one, `reached` the moment that no
    order gets beyond, in the time of the calls, `stuck` the call that ends then. Of an unknown one, `reason` is what
    was used up, and `calls` are those of the first part that was not decided. `met` are the states that the search met.
    """

    verdict: Verdict
    parts: int = 0
    exact: int = 0
    searched: int = 0
    configurations: int = 0
    states: int = 0
    calls: list[Call] = field(default_factory=list)
    part: Hashable | None = None
    why: str = ""
    reached: int | None = None
    stuck: Call | None = None
    undecided: int = 0
    reason: str = ""
    met: list[Any] = field(default_factory=list)


def parts_of(calls: Sequence[Call], specification: Specification) -> dict[Hashable | None, list[Call]]:
    """Return the calls by the part of the object that they concern; one part where any call concerns all of it."""
    parts: dict[Hashable | None, list[Call]] = {}
    for call in calls:
        part = specification.part_of(call.name, call.args)
        if part is None:
            return {None: list(calls)}
        parts.setdefault(part, []).append(call)
    return parts


def as_judged(calls: Sequence[Call], specification: Specification) -> list[Call]:
    """Return the calls without what tells nothing: reads that never came back, results that only say "done".

    A call that never came back may have a result: then it had its effect with this result, or none.
    """
    known = [specification.recorded(call) for call in calls] if isinstance(specification, OfModel) else list(calls)
    return [call for call in known if not (call.open and specification.only_reads(call.name, call.args, call.result))]


def _has_a_result(call: Call) -> bool:
    """Return True for a call that may have happened, and if so with a known result: the exact answers know no such."""
    return call.open and call.result is not UNKNOWN


def judge(
    calls: Sequence[Call],
    specification: Specification,
    budget: Budget | None = None,
    *,
    exact: bool = True,
    native: bool = True,
) -> Judgement:
    """Return whether an order of the calls explains every result.

    `exact` allows the exact answers, `native` the compiled search. Raises UsageError where the specification fails.
    """
    budget = budget or Budget()
    judgement = Judgement("linearizable")
    parts = parts_of(as_judged(calls, specification), specification)
    judgement.parts = len(parts)
    answer = EXACT.get(specification.model) if exact and isinstance(specification, OfModel) else None
    left: dict[Hashable | None, list[Call]] = {}
    for part, own in parts.items():
        if budget.is_spent():
            left[part] = own
            continue
        try:
            why = answer(own) if answer and not any(map(_has_a_result, own)) else None
        except Ambiguous:
            why = None
        if why is None:
            left[part] = own
            continue
        judgement.exact += 1
        if why:
            judgement.verdict, judgement.calls, judgement.part, judgement.why = "not linearizable", own, part, why
            return judgement
    return _searched(left, automaton_for(specification, left.values()), budget, judgement, native=native)


def _searched(
    left: dict[Hashable | None, list[Call]],
    automaton: Automaton,
    budget: Budget,
    judgement: Judgement,
    *,
    native: bool,
) -> Judgement:
    limit = FIRST_LIMIT if len(left) > 1 else budget.configurations
    while left and judgement.verdict == "linearizable" and not budget.reason:
        limit = min(limit, budget.configurations - judgement.configurations)
        for part, calls in list(left.items()):
            found = search.search(calls, automaton, limit, budget.is_spent, native=native)
            judgement.configurations += found.configurations
            if found.verdict != search.STOPPED:
                del left[part]
                judgement.searched += 1
            if found.verdict == search.NO:
                judgement.verdict, judgement.calls, judgement.part = "not linearizable", calls, part
                judgement.stuck = calls[found.stuck]
                judgement.reached = judgement.stuck.end
                break
            if budget.is_spent():
                break
        if judgement.configurations >= budget.configurations and left:
            budget.reason = budget.reason or "configurations"
        limit *= 10
    judgement.states, judgement.met = len(automaton.states), automaton.states
    if left and judgement.verdict == "linearizable":
        judgement.verdict, judgement.reason, judgement.undecided = "unknown", budget.reason, len(left)
        judgement.part, judgement.calls = next(iter(left.items()))
    return judgement


def in_order(calls: Sequence[Call], specification: Specification, order: Sequence[int]) -> bool:
    """Return True where this order explains every result: each call that came back is in it once, in its time."""
    if {number for number, call in enumerate(calls) if not call.open} - set(order) or len(set(order)) < len(order):
        return False
    automaton = Automaton(specification)
    state, latest = automaton.initial, -(1 << 62)
    for number in order:
        call = calls[number]
        state = automaton.step(state, automaton.class_of(call.name, call.args, call.result))
        if state < 0 or call.last < latest:
            return False
        latest = max(latest, call.start)
    return True
