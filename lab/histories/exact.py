"""Answer exactly, in n log n, where the values tell which call wrote what: registers and logs, queues, counters.

Each function takes the calls of one object and returns why no order explains them, or an empty text where one does. It
raises `Ambiguous` where it cannot tell: two calls wrote the same value, say. Then the search answers. Of stacks only
contradictions of few calls are found: whether a history of a stack is linearizable is hard even where all values
differ.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from .automaton import freeze
from .call import NEVER, UNKNOWN, Call, call_text, value_text
from .models import Counter, Log, Map, Queue, Register, Stack

WRITES, READS = ("write", "put", "append"), ("read", "get")
FIRST = -1
"""This stands for the initial state, as if a call had written it."""


class Ambiguous(Exception):  # noqa: N818 - it is an answer
    """The values do not tell."""


class Contradiction(Exception):  # noqa: N818 - it is an answer
    """No order explains the calls; the text says why."""


def register(calls: Sequence[Call]) -> str:
    """Answer for a register that is written, read and appended to, where no value is written twice."""
    writers = _Writers(calls)
    return writers.contradiction(writers.of_register())


def log(calls: Sequence[Call]) -> str:
    """Answer for a log that is read and appended to, where no value is appended twice."""
    writers = _Writers(calls)
    return writers.contradiction(lambda result: () if result in ((), []) else _elements(result))


class _Zone(NamedTuple):
    """Writes that follow each other for certain, with what read them: the first end and the last start of them all.

    Two zones contradict each other where each has a call that ended before one of the other began (Gibbons and Korach,
    Testing shared memories, 1997).
    """

    first_end: int
    last_start: int
    writer: int

    @property
    def forward(self) -> bool:
        """Return True where all the other zones must lie before or behind the time between the two."""
        return self.first_end < self.last_start


class _Writers:
    """Which call wrote the value that each read saw, and which write came right before which."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.wrote: dict[Any, int] = {}
        self.before: dict[int, int] = {}
        self.after: dict[int, int] = {}
        self.reads: dict[int, list[int]] = {}
        for number, call in enumerate(calls):
            if call.name in READS:
                continue
            value = freeze(call.args[-1]) if call.name in WRITES and call.result is UNKNOWN else None
            if value is None or value in self.wrote:
                raise Ambiguous
            self.wrote[value] = number

    def contradiction(self, split: Callable[[Any], Sequence[Any]]) -> str:
        """Return why no order explains the calls; `split` takes a result apart into values written one by one."""
        try:
            self._check(split)
        except Contradiction as why:
            return str(why)
        return ""

    def _check(self, split: Callable[[Any], Sequence[Any]]) -> None:
        for number, call in enumerate(self.calls):
            if call.name in READS and call.result is not UNKNOWN:
                self._seen(number, split(call.result))
        head = self._zone(FIRST)
        followers = set(self.after.values())
        zones = []
        for writer in self.wrote.values():
            seen = writer in self.before or writer in self.after or writer in self.reads
            if writer in followers or (not seen and self.calls[writer].open):
                continue
            zone = self._zone(writer)
            if zone.first_end < head.last_start:
                early = min(self._calls_of(writer), key=lambda call: call.last)
                late = max(self._calls_of(FIRST), key=lambda call: call.start)
                raise Contradiction(f"{_told(late)} began after {_told(early)} had ended, but has to come before it")
            zones.append(zone)
        self._compare(zones)

    def of_register(self) -> Callable[[Any], Sequence[Any]]:
        """Return how the results of a register are taken apart."""
        names = {call.name for call in self.calls}
        if "append" not in names:
            return lambda result: () if result is None else (freeze(result),)
        texts = [value for value in self.wrote if isinstance(value, str)]
        if len(texts) == len(self.wrote) and "" not in texts:
            texts.sort()
            if any(longer.startswith(value) for value, longer in pairwise(texts)):
                raise Ambiguous
            return _TextSplitter(texts).split
        if texts or names & {"write", "put"}:
            raise Ambiguous  # was it a list that was written, or one that was appended to?
        return lambda result: () if result is None else _elements(result)

    def _seen(self, reader: int, values: Iterable[Any]) -> None:
        """Note what a read tells of the order of the writes."""
        last: int | None = None
        for value in values:
            writer = self.wrote.get(freeze(value))
            if writer is None:
                raise Contradiction(f"{value_text(value)} was read, and no call wrote it")
            appends = self.calls[writer].name == "append"
            if last is None and appends:
                last = FIRST
            if appends == (last is None):
                raise Contradiction(f"{value_text(value)} was read behind another value, which it replaced")
            if last is not None and (
                self.before.setdefault(writer, last) != last or self.after.setdefault(last, writer) != writer
            ):
                raise Contradiction(f"{value_text(value)} was read behind different values")
            last = writer
        self.reads.setdefault(FIRST if last is None else last, []).append(reader)

    def _zone(self, writer: int) -> _Zone:
        """Return the zone that begins with this write. Raise Contradiction where time contradicts its order."""
        first_end, last_start, begin = NEVER, -NEVER, writer
        at: int | None = writer
        while at is not None:
            for group in ([at] if at != FIRST else []), self.reads.get(at, []):
                end = min((self.calls[each].last for each in group), default=NEVER)
                if end < last_start:
                    raise Contradiction("the order in which values were read contradicts the times of the calls")
                first_end = min(first_end, end)
                last_start = max([last_start, *[self.calls[each].start for each in group]])
            at = self.after.get(at)
        return _Zone(first_end, last_start, begin)

    def _calls_of(self, writer: int) -> Iterator[Call]:
        """Yield the calls of the zone that begins with this write."""
        at: int | None = writer
        while at is not None:
            yield from (self.calls[each] for each in [*[at] * (at != FIRST), *self.reads.get(at, [])])
            at = self.after.get(at)

    def _compare(self, zones: list[_Zone]) -> None:
        """Raise Contradiction for two zones of which each must come before the other."""
        forward = sorted(zone for zone in zones if zone.forward)
        for one, other in pairwise(forward):
            if other.first_end < one.last_start:
                raise self._both(one, other)
        ends = [zone.first_end for zone in forward]
        for zone in zones:
            at = bisect_left(ends, zone.last_start) - 1
            if not zone.forward and at >= 0 and zone.first_end < forward[at].last_start:
                raise self._both(zone, forward[at])

    def _both(self, one: _Zone, other: _Zone) -> Contradiction:
        first, second = (call_text(self.calls[zone.writer]) for zone in (one, other))
        return Contradiction(f"{first} and {second} each have to come before the other")


def _told(call: Call) -> str:
    """Return what was called, with what a read gave."""
    return f"{call_text(call)}, which gave {value_text(call.result)}," if call.name in READS else call_text(call)


def _elements(result: Any) -> Sequence[Any]:
    """Return what was appended to a list that is not empty. Raise Contradiction where it is no such list."""
    if not isinstance(result, list | tuple) or not result:
        raise Contradiction(f"{value_text(result)} was read, and no call wrote it")
    return result


class _TextSplitter:
    """Takes a text apart into the pieces that were appended, none of which begins with another."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self.pieces = set(pieces)
        self.lengths = sorted(set(map(len, self.pieces)))

    def split(self, result: Any) -> list[str]:
        """Return the pieces; the rest that is none is the last of them."""
        if result is None:
            return []
        if not isinstance(result, str) or not result:
            raise Contradiction(f"{value_text(result)} was read, and no call wrote it")
        found: list[str] = []
        at = 0
        while at < len(result):
            piece = next((result[at : at + size] for size in self.lengths if result[at : at + size] in self.pieces), "")
            found.append(piece or result[at:])
            at += len(found[-1])
        return found


def queue(calls: Sequence[Call]) -> str:
    """Answer for a queue in which no value is put twice, and of which every `take` came back.

    Henzinger, Sezgin and Vafeiadis, Aspect-oriented linearizability proofs, 2013.
    """
    try:
        puts, takes, empty = _by_value(calls, Queue.takes, ("taken", "put"))
    except Contradiction as why:
        return str(why)
    return _out_of_order(puts, takes) or _never_empty(puts, takes, empty)


def _by_value(
    calls: Sequence[Call], names: Sequence[str], words: tuple[str, str]
) -> tuple[dict[Any, Call], dict[Any, Call], list[Call]]:
    """Return the call that put each value, the one that took it, whose name is one of these, and those that found none.

    Raises Contradiction for a value that was taken twice, or without having been put; `words` say these two.
    """
    puts: dict[Any, Call] = {}
    for call in calls:
        if call.name not in names:
            value = freeze(call.args[0]) if call.result is UNKNOWN else None
            if value is None or value in puts:
                raise Ambiguous
            puts[value] = call
        elif call.result is UNKNOWN:
            raise Ambiguous
    takes: dict[Any, Call] = {}
    empty = []
    for call in calls:
        value = freeze(call.result) if call.name in names else None
        if value is None:
            empty += [call] * (call.name in names)
            continue
        if value not in puts or call.last < puts[value].start:
            raise Contradiction(f"{value_text(value)} was {words[0]}, and not {words[1]} before")
        if takes.setdefault(value, call) is not call:
            raise Contradiction(f"{value_text(value)} was {words[0]} twice")
    return puts, takes, empty


def _out_of_order(puts: dict[Any, Call], takes: dict[Any, Call]) -> str:
    """Return which value was put for certain before another, and for certain taken after it."""
    ended = sorted((put.last, takes[value].start if value in takes else NEVER, at)
                   for at, (value, put) in enumerate(puts.items()) if not put.open or value in takes)  # fmt: skip
    values = list(puts)
    latest, which, done = -1, -1, 0
    for start, value in sorted(((puts[value].start, value) for value in takes), key=lambda each: each[0]):
        while done < len(ended) and ended[done][0] < start:
            latest, which = max((latest, which), ended[done][1:])
            done += 1
        if latest > takes[value].last:
            first = value_text(values[which])
            return f"{first} was put before {value_text(value)}, which was taken before {first}"
    return ""


def _never_empty(puts: dict[Any, Call], takes: dict[Any, Call], empty: list[Call]) -> str:
    """Return which `take` found nothing though at every moment of it some value was there for certain."""
    spans = sorted(
        (put.last, takes[value].start if value in takes else NEVER)
        for value, put in puts.items()
        if not put.open and (value not in takes or put.last < takes[value].start)
    )
    merged: list[list[int]] = []
    for begin, end in spans:
        if merged and begin < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    begins = [begin for begin, _ in merged]
    for call in empty:
        at = bisect_left(begins, call.start) - 1
        if at >= 0 and call.last < merged[at][1]:
            return f"{call_text(call)} found nothing while there was a value for certain"
    return ""


MOST_PAIRS = 2_000_000
"""So many pairs of values are compared at most: the search looks at the rest."""


def stack(calls: Sequence[Call]) -> str:
    """Answer for a stack in which no value is pushed twice, where two or three calls contradict each other.

    Where none do, it raises `Ambiguous`: more calls may.
    """
    try:
        pushes, pops, empty = _by_value(calls, Stack.takes, ("popped", "pushed"))
    except Contradiction as why:
        return str(why)
    if found := _never_empty(pushes, pops, empty):
        return found
    order = sorted(pushes, key=lambda value: pushes[value].start)
    starts = [pushes[value].start for value in order]
    left = MOST_PAIRS
    for low, pop in pops.items():
        first, end = bisect_right(starts, pushes[low].last), bisect_left(starts, pop.start)
        left -= max(0, end - first)
        if left < 0:
            break
        for high in order[first:end]:
            later = pops.get(high)
            if pushes[high].last < pop.start and (later is None or pop.last < later.start):
                what = f"which was popped after {value_text(low)}" if later else "which was not popped"
                return f"{value_text(low)} was popped while {value_text(high)} lay above it, {what}"
    raise Ambiguous


def counter(calls: Sequence[Call]) -> str:
    """Answer for a counter to which one is added each time.

    The calls that gave a sum come in the order of what they gave. In the gaps between them take place the additions
    that gave none, and of these first the one whose time ends first: no other choice can leave more room (Jackson's
    rule, earliest deadline first).
    """
    told, waiting = _sums(calls)
    first_ends = list(accumulate([each[3] for each in reversed(told)], min))
    ready: list[int] = []
    total, latest = 0, -NEVER
    for result, reads, start, end, at in told:
        first_end = first_ends.pop()
        if start > latest:
            latest = start
        elif end < latest:
            return f"{_gave(calls[at])}, and ended before a call began that gave less, or as much"
        while waiting and -waiting[-1][0] <= first_end:
            heappush(ready, waiting.pop()[1])
        before = result if reads else result - 1
        while total < before and ready:
            heappop(ready)
            total += 1
        if total != before:
            return f"{_gave(calls[at])}, and there was no way to {before}"
        if ready and ready[0] < latest:
            return f"{_gave(calls[at])}, and more had been added before"
        total = result
    return ""


def _sums(calls: Sequence[Call]) -> tuple[list[tuple[Any, ...]], list[tuple[int, int]]]:
    """Return the calls that gave a sum, in its order, and the additions that gave none, the last to start first.

    They are tuples, which sort three times as fast as calls: sum, whether it is a read, start, end and number; and
    minus the start, and the end.
    """
    told, untold = [], []
    for at, (_, name, args, result, start, end) in enumerate(calls):
        adds = name in Counter.silent
        if adds and args and (args != (1,) or type(args[0]) is not int):
            raise Ambiguous
        if result is not UNKNOWN:
            told.append((result, not adds, start, NEVER if end is None else end, at))
        elif adds:
            untold.append((-start, NEVER if end is None else end))
    if not all(type(each[0]) is int for each in told):
        raise Ambiguous
    return sorted(told), sorted(untold)


def _gave(call: Call) -> str:
    return f"{call_text(call)} gave {call.result}"


EXACT: dict[type, Callable[[Sequence[Call]], str]] = {
    Counter: counter,
    Log: log,
    Map: register,
    Queue: queue,
    Register: register,
    Stack: stack,
}
"""The functions by the models, and by no class derived from one: it may do something else."""
