"""Find the smallest part of a history that no order explains, and say why.

Calls are only left out in ways that keep a linearizable history linearizable, so that what is left still proves that
the whole history is not: those after the moment that no order gets beyond; those that only read; all that concern the
same values; and of each other call its time and its result, so that it may happen at any moment, or never.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .automaton import Automaton, OfModel, Specification, freeze
from .call import UNKNOWN, Call, Impossible, call_text, value_text
from .judge import Budget, Judgement, judge
from .models import Log, Map, Mutex, Queue, Register, Stack
from .monitor import contradictions

LONGEST_S = 1.0
"""So long one part of a history is judged at most."""

MOST_CONFIGURATIONS = 20_000
"""A part of a history that takes more to judge counts as one that an order explains: it is not left out."""

MOST_STARTS = 32
"""Where the search met no more states, the calls are tried from each of them."""

MOST_ORDERED, MOST_SHOWN = 9, 6
"""Of so many calls the orders are followed, and of so many of these it is said what contradicts them."""


class Refuted(NamedTuple):
    """An order of calls, by their numbers, up to the first that `would_give` another result than it gave.

    The text is empty where that call cannot return. The object begins in the state `start`; empty: in any that it may.
    """

    calls: tuple[int, ...]
    would_give: str
    start: str = ""


@dataclass(frozen=True, slots=True)
class Core:
    """The calls that contradict each other, by their starts, and calls that may happen at any time, or never.

    `smallest` is false where the time was over before every call had been tried. `orders` are the longest orders of
    `calls` and, after them, `any_time`; `orders_left_out` is how many more there are. `why` is the reason where the
    values tell it. Where `starts` is not 0, no order explains the calls in whichever of so many states the object was
    when they began.
    """

    calls: list[Call]
    any_time: list[Call] = field(default_factory=list)
    smallest: bool = True
    orders: list[Refuted] = field(default_factory=list)
    orders_left_out: int = 0
    why: str = ""
    starts: int = 0


def core_of(judgement: Judgement, specification: Specification, seconds: float = 5.0) -> Core:
    """Return the core of the part that the judgement found not to be linearizable, found within about that time."""
    shrinking = _Shrinking(
        specification, time.monotonic() + seconds, max(MOST_CONFIGURATIONS, 2 * judgement.configurations)
    )
    calls = sorted(judgement.calls, key=lambda call: call.start)
    if judgement.reached is not None:
        calls = known_until(calls, judgement.reached)
        if len(judgement.met) <= MOST_STARTS:
            calls = shrinking.from_any_state(calls, judgement.met)
    for units_of in (read_units, value_units):
        calls = shrinking.without(calls, units_of(calls, specification))
    earliest = min(call.start for call in calls)
    free = [call._replace(result=UNKNOWN, start=earliest, end=None) for call in calls]
    calls = shrinking.without(calls, [[number] for number, call in enumerate(calls) if call != free[number]], free)
    needed = [call for call, freed in zip(calls, free, strict=True) if call != freed]
    any_time = [call for call, freed in zip(calls, free, strict=True) if call == freed]
    why = "" if shrinking.starts else judge(calls, specification, Budget(configurations=1)).why
    core = Core(needed, any_time, smallest=not shrinking.is_over(), why=why, starts=len(shrinking.starts))
    if len(calls) > MOST_ORDERED:
        return core
    orders = _orders([*needed, *any_time], shrinking.specifications())
    return replace(core, orders=orders[:MOST_SHOWN], orders_left_out=len(orders[MOST_SHOWN:]))


def known_until(calls: Sequence[Call], moment: int) -> list[Call]:
    """Return what is known at this moment: a call that still runs may have had its effect, or not."""
    return [call._replace(end=None) if call.last > moment else call for call in calls if call.start <= moment]


def known_from(calls: Sequence[Call], moment: int) -> list[Call]:
    """Return what is known without all before this moment: a call that runs then may have had its effect before."""
    return [
        call if call.start >= moment else call._replace(start=moment, end=None) for call in calls if call.last >= moment
    ]


@dataclass(slots=True)
class _From:
    """A specification whose object begins in another state."""

    specification: Specification
    state: Any

    def initial(self) -> Any:
        """Return that state."""
        return self.state

    def __getattr__(self, name: str) -> Any:
        return getattr(self.specification, name)


@dataclass(slots=True)
class _Shrinking:
    """Leaves out as much as it can, until a moment."""

    specification: Specification
    until: float
    configurations: int
    starts: list[Any] = field(default_factory=list)

    def specifications(self) -> list[Specification]:
        """Return the specification with each of the states that it may begin in."""
        return [_From(self.specification, state) for state in self.starts] or [self.specification]

    def from_any_state(self, calls: list[Call], met: list[Any]) -> list[Call]:
        """Leave out the calls before a moment, as late as can be, and let the object begin in any state that was met.

        What ran in that moment may still happen, or have happened. The search that met the states went through all that
        could have been before that moment.
        """
        moments = sorted({call.start for call in calls})
        first, last, best = 0, len(moments) - 1, calls
        self.starts = met
        while first < last and not self.is_over():
            middle = (first + last + 1) // 2
            rest = known_from(calls, moments[middle])
            if self._contradicts(rest):
                first, best = middle, rest
            else:
                last = middle - 1
        if best is calls:
            self.starts = []
        return best

    def is_over(self) -> bool:
        """Return True once the time is over."""
        return time.monotonic() > self.until

    def _contradicts(self, calls: Sequence[Call]) -> bool:
        """Return True where it is soon certain that no order explains the calls."""
        until = min(self.until, time.monotonic() + LONGEST_S)
        return all(
            judge(calls, each, Budget(until, self.configurations)).verdict == "not linearizable"
            for each in self.specifications()
        )

    def without(
        self, calls: list[Call], units: Sequence[Sequence[int]], instead: Sequence[Call] | None = None
    ) -> list[Call]:
        """Leave out units of the calls, or replace them by others: all, then halves, and smaller and smaller parts.

        The calls of the units that are left still contradict each other (Zeller and Hildebrandt, Simplifying and
        isolating failure-inducing input, 2002).
        """
        gone: set[int] = set()

        def rest(left_out: set[int]) -> list[Call]:
            if instead:
                return [instead[number] if number in left_out else call for number, call in enumerate(calls)]
            return [call for number, call in enumerate(calls) if number not in left_out]

        size = len(units)
        while units and not self.is_over():
            kept: list[Sequence[int]] = []
            for at in range(0, len(units), size):
                part = units[at : at + size]
                without = gone.union(*part)
                if not self.is_over() and self._contradicts(rest(without)):
                    gone = without
                else:
                    kept += part
            if size == 1:
                break
            units, size = kept, size // 2
        return rest(gone)


def read_units(calls: Sequence[Call], specification: Specification) -> list[list[int]]:
    """Return each call that only reads: what it saw is no part of what the others did."""
    return [[at] for at, call in enumerate(calls) if specification.only_reads(call.name, call.args, call.result)]


def value_units(calls: Sequence[Call], specification: Specification) -> list[list[int]]:
    """Return calls that may only be missing together: all that wrote or saw the same values."""
    model = specification.model if isinstance(specification, OfModel) else None
    if model is Mutex:
        return _pairs(calls)
    touched = TOUCHED.get(model) if model else None
    values = [touched(call) for call in calls] if touched else [None]
    if None in values:
        return []
    leader: dict[Hashable, Hashable] = {}

    def lead(value: Hashable) -> Hashable:
        while (above := leader.setdefault(value, value)) != value:
            value = above
        return value

    for own in values:
        for value in own or ():
            leader[lead(value)] = lead(own[0]) if own else value
    together: dict[Hashable, list[int]] = {}
    for at, own in enumerate(values):
        if own:
            together.setdefault(lead(own[0]), []).append(at)
    return list(together.values())


def _touched_by_register(call: Call) -> tuple[Hashable, ...] | None:
    """Return the values that a call wrote or saw; None where leaving out other calls could change its result."""
    if call.name in ("read", "get"):
        return () if call.result is UNKNOWN else (freeze(call.result),)
    if call.name in ("write", "put"):
        return (freeze(call.args[-1]),)
    if call.name == "remove":
        return (None,)
    if call.name == "cas" and (call.open or call.result is True):
        return tuple(map(freeze, call.args[-2:]))
    return None


def _touched_by_queue(call: Call) -> tuple[Hashable, ...] | None:
    if call.name not in (*Queue.takes, "pop"):
        return (freeze(call.args[0]),)
    if call.result is UNKNOWN:
        return () if call.open else None
    return () if call.result is None else (freeze(call.result),)


def _touched_by_log(call: Call) -> tuple[Hashable, ...] | None:
    if call.name == "append":
        return (freeze(call.args[0]),)
    return tuple(map(freeze, call.result)) if isinstance(call.result, list | tuple) else ()


TOUCHED: dict[type, Callable[[Call], tuple[Hashable, ...] | None]] = {
    Log: _touched_by_log,
    Map: _touched_by_register,
    Queue: _touched_by_queue,
    Register: _touched_by_register,
    Stack: _touched_by_queue,
}


def _pairs(calls: Sequence[Call]) -> list[list[int]]:
    """Return each `acquire` with the `release` of its process, where all processes make them by turns."""
    pairs: list[list[int]] = []
    held: dict[int | str, int] = {}
    for at, call in enumerate(calls):
        acquires = call.name in ("acquire", "lock")
        if acquires == (call.process in held):
            return []
        if acquires:
            held[call.process] = at
            continue
        begin = held.pop(call.process)
        if calls[begin].last > call.start:
            return []
        if not call.open:
            pairs.append([begin, at])
    return pairs


def _orders(calls: Sequence[Call], specifications: Sequence[Specification]) -> list[Refuted]:
    """Return the orders that time allows, the longest first; of those that look alike, the first.

    Where the object may begin in several states, an order that only some of them allow says in which one it is.
    """
    found: dict[tuple[str, ...], tuple[tuple[Call, ...], str, list[Specification]]] = {}
    for each in specifications:
        ends: dict[tuple[str, ...], tuple[tuple[Call, ...], str]] = {}
        for order, given in contradictions(Automaton(each), calls, merged=True):
            would_give = "" if given is Impossible else value_text(given)
            ends.setdefault((*map(call_text, order), would_give), (order, would_give))
        for key, (order, would_give) in ends.items():
            found.setdefault(key, (order, would_give, []))[2].append(each)
    made = []
    for order, would_give, own in sorted(found.values(), key=lambda each: -len(each[0])):
        first = own[0]
        start = _state_text(first.state) if isinstance(first, _From) and len(own) < len(specifications) else ""
        made.append(Refuted(tuple(calls.index(call) for call in order), would_give, start))
    return made


def _state_text(state: Any) -> str:
    own = getattr(state, "__dict__", {"it": state})
    return " and ".join(f"{name} = {value_text(value)}" for name, value in own.items())
