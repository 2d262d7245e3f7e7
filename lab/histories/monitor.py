"""Follow a history while it happens: the orders of its calls that still explain all results are a number.

Where `search` judges a history once it is over, the monitor is asked again and again about histories with the same
beginning: what a call or a return makes of a set of orders is found once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from .automaton import NO_STATE, Automaton
from .call import Call


class Placed(NamedTuple):
    """A call that has its place in the order, and gives this result; it has not come back yet."""

    result: Hashable


Open = tuple[Call | Placed | None, ...]
"""For each worker its call that has not come back, None where it has none."""

Way = tuple[int, Open]
"""One order of the calls so far: the state that it leads to, and what is open."""


class Monitor:
    """The sets of orders that are still possible; NO_ORDER is the empty one: no order explains the history."""

    NO_ORDER = 0

    def __init__(self, automaton: Automaton, workers: int) -> None:
        self.automaton = automaton
        self._sets: list[frozenset[Way]] = []
        self._numbers: dict[frozenset[Way], int] = {}
        self._called: dict[tuple[int, int, Call], int] = {}
        self._returned: dict[tuple[int, int, Hashable], int] = {}
        self._number(frozenset())
        self.first = self._number(frozenset([(automaton.initial, (None,) * workers)]))

    def _number(self, ways: frozenset[Way]) -> int:
        number = self._numbers.setdefault(ways, len(self._sets))
        if number == len(self._sets):
            self._sets.append(ways)
        return number

    def called(self, number: int, worker: int, call: Call) -> int:
        """Return the set after this worker began a call."""
        key = number, worker, call
        if key not in self._called:
            ways = ((state, _with(open_ones, worker, call)) for state, open_ones in self._sets[number])
            self._called[key] = self._number(frozenset(ways))
        return self._called[key]

    def returned(self, number: int, worker: int, result: Hashable) -> int:
        """Return the set after this worker's call came back with this result, which is frozen."""
        key = number, worker, result
        if key not in self._returned:
            self._returned[key] = self._number(frozenset(self._after_return(self._sets[number], worker, result)))
        return self._returned[key]

    def _after_return(self, ways: frozenset[Way], worker: int, result: Hashable) -> Iterator[Way]:
        """Yield each way in which the call has its place by now: open calls get theirs at any moment before."""
        waiting, seen = list(ways), set(ways)
        while waiting:
            state, open_ones = waiting.pop()
            mine = open_ones[worker]
            if isinstance(mine, Placed):
                if mine.result == result:
                    yield state, _with(open_ones, worker, None)
                continue
            for other, call in enumerate(open_ones):
                if isinstance(call, Call):
                    given, after = self.automaton.perform(state, call.name, call.args)
                    way = after, _with(open_ones, other, Placed(given))
                    if after != NO_STATE and way not in seen and (other != worker or given == result):
                        seen.add(way)
                        waiting.append(way)


def _with(open_ones: Open, worker: int, what: Call | Placed | None) -> Any:
    return (*open_ones[:worker], what, *open_ones[worker + 1 :])


class Contradiction(NamedTuple):
    """The beginning of an order of the calls, up to the first call that would give another result than it gave.

    `would_give` is frozen; Impossible where that call cannot return.
    """

    order: tuple[Call, ...]
    would_give: Hashable


def contradictions(automaton: Automaton, calls: Sequence[Call], *, merged: bool = False) -> Iterator[Contradiction]:
    """Yield each order that the times allow, cut at its first contradiction; one without any is left out.

    If `merged`, of several beginnings that lead to one state and leave the same calls only the first is followed.
    """
    seen: set[tuple[int, frozenset[int]]] = set()

    def follow(order: tuple[int, ...], state: int) -> Iterator[Contradiction]:
        left = frozenset(range(len(calls))).difference(order)
        if merged and (state, left) in seen:
            return
        seen.add((state, left))
        first_end = min((calls[each].last for each in left), default=0)
        for each in sorted(left):
            call = calls[each]
            if call.start > first_end:
                continue
            after = automaton.step(state, automaton.class_of(call.name, call.args, call.result))
            if after != NO_STATE:
                yield from follow((*order, each), after)
                continue
            given, _ = automaton.perform(state, call.name, call.args)
            yield Contradiction(tuple(calls[number] for number in (*order, each)), given)

    yield from follow((), automaton.initial)
