"""The definition of linearizability, word for word, and small histories drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from random import Random
from typing import Any

from lab.histories.call import UNKNOWN, Call, Impossible
from lab.histories.models import Counter, Log, Mutex, Queue, Register, Stack


class Flag:
    """A flag: `poll` tells whether it was set since the last time, and clears it."""

    def __init__(self) -> None:
        self.up = 0

    def raise_(self) -> None:
        self.up = 1

    def poll(self) -> int:
        before, self.up = self.up, 0
        return before


def explained(calls: list[Call], model: type) -> bool:
    """Is there an order of all calls that came back, and some that did not, that explains the results?"""

    def goes_on(left: frozenset[int], state: Any) -> bool:
        if all(calls[each].end is None for each in left):
            return True
        first_end = min(calls[each].last for each in left)
        for each in left:
            call = calls[each]
            if call.start > first_end:
                continue
            after = copy(state)
            after.__dict__ = {
                key: copy(each) if isinstance(each, list | dict) else each for key, each in vars(state).items()
            }
            try:
                given = getattr(after, call.name)(*call.args)
            except Impossible:
                continue
            if (call.result is UNKNOWN or given == call.result) and goes_on(left - {each}, after):
                return True
        return False

    return goes_on(frozenset(range(len(calls))), model())


Drawn = tuple[str, tuple[Any, ...], Any]


def _register(random: Random) -> Drawn:
    few = random.choice((1, 2))
    return random.choice([
        ("read", (), random.choice((None, 1, 2))), ("write", (few,), None),
        ("cas", (few, random.choice((1, 2))), random.random() < 0.5),
    ])  # fmt: skip


def _written(random: Random) -> Drawn:
    fresh = random.randrange(1, random.choice((5, 40)))
    return random.choice([("read", (), random.choice((None, 1, 2, 3, 4))), ("write", (fresh,), None)])


def _log(random: Random) -> Drawn:
    seen = tuple(random.sample(range(1, 5), random.randrange(4)))
    return random.choice([("read", (), seen), ("append", (random.randrange(1, 5),), None)])


def _text(random: Random) -> Drawn:
    pieces = random.sample("abcd", random.randrange(4))
    name = random.choice(("append", "append", "write"))
    return random.choice([("read", (), "".join(pieces) or None), (name, (random.choice("abcd"),), None)])


def _queue(random: Random) -> Drawn:
    value = random.randrange(1, random.choice((3, 6, 40)))
    return random.choice([("put", (value,), None), ("take", (), random.choice((None, value)))])


def _stack(random: Random) -> Drawn:
    return random.choice([("push", (random.randrange(1, 4),), None), ("pop", (), random.choice((None, 1, 2, 3)))])


def _counter(random: Random) -> Drawn:
    return random.choice([
        ("add", (), random.choice((UNKNOWN, 1, 2, 3))), ("read", (), random.choice((0, 1, 2))),
    ])  # fmt: skip


def _sums(random: Random) -> Drawn:
    return random.choice([("add", (), UNKNOWN), ("add", (), UNKNOWN), ("read", (), random.choice((0, 1, 2, 3)))])


def _mutex(random: Random) -> Drawn:
    return random.choice([("acquire", (), None), ("release", (), None)])


def _flag(random: Random) -> Drawn:
    return random.choice([("raise_", (), None), ("poll", (), random.choice((0, 1)))])


DRAWN: list[tuple[type, Callable[[Random], Drawn]]] = [
    (Register, _register), (Register, _written), (Register, _text), (Log, _log), (Queue, _queue), (Stack, _stack),
    (Counter, _counter), (Counter, _sums), (Mutex, _mutex), (Flag, _flag),
]  # fmt: skip
"""Objects, and how a call on each is drawn: with equal values, writes that change nothing, and results of all kinds."""

NAMES = [draw.__name__.strip("_") for _, draw in DRAWN]


def _at(name: str, args: tuple[Any, ...], result: Any, start: int, end: int | None) -> Call:
    return Call(0, name, args, result, start, end)


TOUCHING = {
    "stack": [
        [_at("push", (1,), None, 0, 1), _at("push", (2,), None, *put), _at("pop", (), 1, *pop), _at("pop", (), 2, 7, 8)]
        for put, pop in (((2, 5), (5, 6)), ((1, 2), (5, 6)), ((2, 3), (5, 7)), ((2, 3), (5, 6)))
    ] + [[_at("push", (1,), None, 0, 1), _at("push", (2,), None, 2, 3), _at("pop", (), 1, 5, None)]],
    "queue": [
        [_at("put", (1,), None, 0, 1), _at("take", (), 1, 3, 4), _at("put", (2,), None, 2, 3), _at("take", (), 2, 6, 7),
         _at("take", (), None, 2, 5)],
        [_at("put", (1,), None, 0, 1), _at("take", (), None, 2, 4), _at("take", (), 1, 4, 5)],
        [_at("put", (1,), None, 0, 1), _at("put", (2,), None, 2, 3), _at("take", (), 2, 4, 5),
         _at("take", (), 1, 5, 6)],
    ],
    "written": [
        [_at("write", (1,), None, 0, 1), _at("read", (), 1, 3, 4), _at("write", (2,), None, 2, 3),
         _at("read", (), 2, 5, 6)],
    ],
    "register": [
        [_at("write", (1,), UNKNOWN, 0, None), _at("write", (2,), UNKNOWN, 0, None), _at("read", (), 2, 1, 2),
         _at("read", (), 1, 3, 4)],
    ],
}  # fmt: skip
"""Histories that chance seldom makes: their calls touch in the one moment that matters; the last crashes twice."""


def drawn(random: Random, model: type, draw: Callable[[Random], Drawn], most: int = 7) -> list[Call]:
    """A history of up to so many calls: some never come back, and many begin or end in the same moment.

    Half of them took place in some order within their times, and then at most one result was changed: they are
    linearizable, or nearly so.
    """
    calls = []
    moments = random.choice((3, 5, 14))
    for process in range(random.randrange(1, most + 1)):
        start = random.randrange(moments)
        name, args, result = draw(random)
        if random.random() < 0.15:
            calls.append(Call(process, name, args, random.choice((UNKNOWN, UNKNOWN, result)), start))
        else:
            calls.append(Call(process, name, args, result, start, start + random.randrange(1 + moments // 2)))
    return _performed(random, model, calls) if random.random() < 0.5 else calls


def _performed(random: Random, model: type, calls: list[Call]) -> list[Call]:
    """These calls as an object performed them, each in a moment of its time; one that it could not make is left out."""
    moments = []
    for call in calls:
        end = call.end or 30
        moments.append((random.choice((call.start, random.randint(call.start, end), end)), random.random()))
    state, performed = model(), []
    for _, call in sorted(zip(moments, calls, strict=True), key=lambda each: each[0]):
        try:
            given = getattr(state, call.name)(*call.args)
        except Impossible:
            continue
        performed.append(call if call.result is UNKNOWN else call._replace(result=given))
    spoilt = random.randrange(2 * len(performed) + 1)
    if spoilt < len(performed) and performed[spoilt].result is not UNKNOWN:
        alike = [call.result for call in calls if call.name == performed[spoilt].name]
        performed[spoilt] = performed[spoilt]._replace(result=random.choice(alike))
    return performed
