"""Tell early that a state of a stack leads nowhere: the search would find that out only many calls later.

Whether a history of a stack is linearizable is hard to decide, also where all values differ; so there is no exact
answer but for contradictions of few calls. But where no value is pushed twice, a value says which call popped it. A
value that lies above another has to be popped first. So nothing follows from a state in which one lies above another
that is popped, and is not popped itself, or only after the pop of the other has ended. Such states are left out, and
the rest is searched as ever.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from .automaton import NO_STATE, Automaton, OfModel, Specification, freeze
from .call import NEVER, UNKNOWN, Call
from .models import Stack

POPPED_NEVER = NEVER + 1


class StackAutomaton(Automaton):
    """The states of a stack whose calls are known; a push into a state that leads nowhere has no state after it."""

    def __init__(self, specification: Specification, calls: Sequence[Call]) -> None:
        pops = [call for call in calls if call.name in Stack.takes and call.result is not UNKNOWN]
        self._starts: dict[Hashable, int] = {freeze(call.result): call.start for call in pops}
        self._ends: dict[Hashable, int] = {freeze(call.result): call.last for call in pops if not call.open}
        self._earliest_end: dict[int, int] = {}
        super().__init__(specification)

    def step(self, state: int, number: int) -> int:
        """Return the state after a call of this class, NO_STATE where it cannot give its result, or leads nowhere."""
        after = super().step(state, number)
        name, args, _ = self.classes[number]
        if after == NO_STATE or name in Stack.takes:
            return after
        first_end = self._first_end(state)
        return NO_STATE if first_end < self._starts.get(freeze(args[0]), POPPED_NEVER) else after

    def _first_end(self, state: int) -> int:
        """Return the first moment at which the pop of a value that lies on this stack has ended."""
        found = self._earliest_end.get(state)
        if found is None:
            values = self.states[state].values
            found = min((self._ends.get(freeze(each), POPPED_NEVER) for each in values), default=POPPED_NEVER)
            self._earliest_end[state] = found
        return found


def automaton_for(specification: Specification, parts: Iterable[Sequence[Call]]) -> Automaton:
    """Return the automaton that the search of these parts of a history needs."""
    is_stack = isinstance(specification, OfModel) and specification.model is Stack
    for calls in parts if is_stack else ():  # a stack has one part
        if is_told_apart(calls):
            return StackAutomaton(specification, calls)
    return Automaton(specification)


def is_told_apart(calls: Sequence[Call]) -> bool:
    """Return True where no value is pushed twice, and every pop has a known result."""
    pushed = [freeze(call.args[0]) for call in calls if call.name not in Stack.takes]
    return len(set(pushed)) == len(pushed) and not any(
        call.name in Stack.takes and call.result is UNKNOWN for call in calls
    )
