"""Search for an order of the calls that explains all results: depth first, and just in time.

A call is put into the order no earlier than some call's end demands it (Lowe, Testing for linearizability, 2017). A
configuration is a moment, the state, and which of the calls that run then are in the order already; none is visited
twice. Four rules make them few, and each is exact:

- A call that changes no state in which it gives its result is put into the order as soon as it fits.
- Of calls that run, and have the same name, arguments and result, the one that ends first comes first.
- A call that never came back is put into the order only where it changes the state.
- A configuration is left out where one was visited that had used fewer of the calls that never came back.

`search` is compiled where there is a compiler (`_search.c`): the same configurations, the same verdicts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lab.compiled import load_compiled

from .automaton import NO_STATE, Automaton
from .call import Call, events_of

_built = load_compiled("lab.histories._search", "search")
compiled: Callable[..., tuple[Any, ...]] | None = _built.search if _built else None
"""The compiled search, where there is one."""

LOOK_EVERY = 512
"""After so many configurations the search asks whether it shall stop."""

STATES_KEPT = 64

YES, NO, STOPPED = 1, 0, -1


class Found(NamedTuple):
    """The result of a search: YES, NO or STOPPED, and how many configurations it visited.

    `reached` is the last event that any order got to, `stuck` the call whose end that is and that no order explains,
    `states` are numbers of states in which it was tried. `order` are the calls in an order that explains them.
    """

    verdict: int
    reached: int
    stuck: int
    configurations: int
    states: set[int]
    order: list[int] | None


def search(
    calls: Sequence[Call],
    automaton: Automaton,
    most: int = 1 << 60,
    stop: Callable[[], bool] = lambda: False,
    *,
    native: bool = True,
) -> Found:
    """Search in C where that was compiled, unless `native` is false; STOPPED after `most` configurations, or by `stop`.

    Raises what the automaton raises.
    """
    classes = [automaton.class_of(call.name, call.args, call.result) for call in calls]
    events = events_of(calls)
    if native and compiled:
        numbers, kinds = array("i", events), array("i", classes)
        return Found(*compiled(numbers, kinds, bytes(automaton.reads), automaton.step, automaton.initial, most, stop))
    return _Search(events, classes, automaton).run(most, stop)


@dataclass(slots=True)
class _Frame:
    """A configuration on the way that the search is on, and the next of the calls to try in it."""

    event: int
    state: int
    live: int
    used: int
    ordered: int
    next: int = 0


@dataclass(slots=True)
class _Search:
    """The search in Python: `live` and `used` are sets of slots, as bits.

    A call that came back has its slot only while it runs; one that never did keeps its own, among those of its kind.
    """

    events: list[int]
    classes: list[int]
    automaton: Automaton
    returns: dict[int, int] = field(default_factory=dict)
    bits: list[int] = field(default_factory=list)
    crashed: list[int] = field(default_factory=list)
    crashed_before: list[int] = field(default_factory=list)
    running: dict[int, list[int]] = field(default_factory=dict)
    visited: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.returns = {~event: at for at, event in enumerate(self.events) if event < 0}
        self.bits = [0] * len(self.classes)
        free: list[int] = []
        now: list[int] = []
        slots = 0
        for at, event in enumerate(self.events):
            self.crashed_before.append(len(self.crashed))
            if event < 0:
                self.running[at] = list(now)
                now.remove(~event)
                free.append(self.bits[~event])
            elif event in self.returns:
                if not free:
                    free.append(1 << slots)
                    slots += 1
                self.bits[event] = free.pop()
                now.append(event)
                now.sort(key=self.returns.__getitem__)
            else:
                self.bits[event] = 1 << len(self.crashed)
                self.crashed.append(event)

    def run(self, most: int, stop: Callable[[], bool]) -> Found:
        """Search; see `search`."""
        start = self._settled(0, self.automaton.initial, 0, at_end=False)
        if start is None:
            return Found(YES, -1, -1, 0, set(), self.order)
        event, live = start
        frames = [_Frame(event, self.automaton.initial, live, 0, len(self.order))]
        self._is_new(frames[0])
        reached, states, configurations, verdict = event, {self.automaton.initial}, 1, NO
        while frames:
            frame = frames[-1]
            del self.order[frame.ordered :]
            call, after = self._next_call(frame)
            if call < 0:
                frames.pop()
                continue
            came_back = call in self.returns
            live = frame.live | (self.bits[call] if came_back else 0)
            used = frame.used | (0 if came_back else self.bits[call])
            self.order.append(call)
            settled = self._settled(frame.event, after, live, at_end=True)
            if settled is None:
                return Found(YES, reached, ~self.events[reached], configurations, states, self.order)
            event, live = settled
            then = _Frame(event, after, live, used, len(self.order))
            if not self._is_new(then):
                continue
            configurations += 1
            if event > reached:
                reached, states = event, set()
            if event == reached and len(states) < STATES_KEPT:
                states.add(after)
            if configurations > most or (configurations % LOOK_EVERY == 0 and stop()):
                verdict = STOPPED
                break
            frames.append(then)
        return Found(verdict, reached, ~self.events[reached], configurations, states, None)

    def _settled(self, event: int, state: int, live: int, *, at_end: bool) -> tuple[int, int] | None:
        """Put what only reads and fits into the order, up to the next end of a call that is not in it.

        Return that event and the calls that run then and are in the order; None where all calls have ended.
        """
        for call in self.running[event] if at_end else ():
            if not live & self.bits[call] and self._fits_and_reads(call, state):
                live |= self.bits[call]
                self.order.append(call)
        for at in range(event, len(self.events)):
            call = self.events[at]
            if call >= 0:
                if call in self.returns and self._fits_and_reads(call, state):
                    live |= self.bits[call]
                    self.order.append(call)
            elif live & self.bits[~call]:
                live &= ~self.bits[~call]
            else:
                return at, live
        return None

    def _fits_and_reads(self, call: int, state: int) -> bool:
        number = self.classes[call]
        return self.automaton.reads[number] and self.automaton.step(state, number) == state

    def _next_call(self, frame: _Frame) -> tuple[int, int]:
        """Return the next call that can follow, and the state after it; -1 where there is none left."""
        running = self.running[frame.event]
        count = len(running)
        total = count + self.crashed_before[frame.event]
        while frame.next < total:
            at = frame.next
            frame.next += 1
            call = running[at] if at < count else self.crashed[at - count]
            done, bit = (frame.live, self.bits[call]) if at < count else (frame.used, self.bits[call])
            if done & bit or self._has_twin(frame, call, running, at):
                continue
            after = self.automaton.step(frame.state, self.classes[call])
            if after != NO_STATE and (at < count or after != frame.state):
                return call, after
        return -1, NO_STATE

    def _has_twin(self, frame: _Frame, call: int, running: list[int], at: int) -> bool:
        """Return True where a call of the same class comes before this one, and is not in the order yet."""
        number, crashed = self.classes[call], self.crashed[: max(0, at - len(running))]
        return any(
            self.classes[other] == number and not frame.live & self.bits[other] for other in running[:at]
        ) or any(self.classes[other] == number and not frame.used & self.bits[other] for other in crashed)

    def _is_new(self, frame: _Frame) -> bool:
        """Note a configuration; return False where one that had used no more was visited."""
        key = (frame.event, frame.state, frame.live)
        before = self.visited.get(key)
        if before is None:
            self.visited[key] = [frame.used]
            return True
        if any(each & ~frame.used == 0 for each in before):
            return False
        before[:] = [each for each in before if frame.used & ~each]
        before.append(frame.used)
        return True
