"""Tell what a worker knows, so that two ways to the same place that know the same are one.

What a running text does next is decided by where it is, by its variables, and by what it loads. At the beginning of a
round it has no variables but the worker's notes.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable
from functools import cache
from itertools import pairwise
from types import CellType, CodeType, FunctionType
from typing import Any

from lab.histories.call import UNKNOWN
from lab.memory.struct_proxy import BytesProxy, proxy_start
from lab.scenario import Scenario

from .worker import SteppedWorker

PLAIN = {int, str, bytes, bool, type(None)}


def known_by(worker: SteppedWorker, life: CodeType) -> Hashable:
    """Return what the running text of a worker knows: its notes, and where it is with which local variables.

    Returns None where that cannot be told: a variable holds more than plain values and what stays the same in all runs,
    or the interpreter keeps a value in the middle of an expression, an iterator of a `for` or a context manager.
    """
    values = _Values(worker)
    try:
        found: list[Hashable] = [_notes(worker, values)]
        frame = sys._getframe(3)
        while frame.f_code is not life:
            if _depth(frame.f_code, frame.f_lasti) != 1:  # more than what the call will return
                return None
            found.append((frame.f_code, frame.f_lasti, values.keys(sorted(frame.f_locals.items()))))
            frame = frame.f_back  # type: ignore[assignment]
    except TypeError:
        return None
    return tuple(found)


def known_between(worker: SteppedWorker) -> Hashable:
    """Return what a worker knows between two rounds: its notes. Returns None where that cannot be told."""
    try:
        return _notes(worker, _Values(worker))
    except TypeError:
        return None


def _notes(worker: SteppedWorker, values: _Values) -> Hashable:
    """Return what the worker keeps outside of its text. Raises TypeError where that cannot be told."""
    if worker.open_files or worker.has_more_attributes():
        raise TypeError
    return values.keys(vars(worker.local).items()), worker.draws()


class _Values:
    """Keys of the values that one worker has at one moment: equal keys behave the same, whatever is done with them.

    A list that is met in two places is one list: a change in one place is seen in the other.
    """

    def __init__(self, worker: SteppedWorker) -> None:
        self._worker = worker
        self._met: dict[int, int] = {}

    def keys(self, items: Iterable[tuple[Any, Any]]) -> Hashable:
        """Return the key of named values, in their order."""
        return tuple((self.key(name), self.key(value)) for name, value in items)

    def key(self, value: Any) -> Hashable:
        """Return the key of a value. Raises TypeError for one that may change and look the same."""
        kind, worker = type(value), self._worker
        if kind in PLAIN:
            return kind, value
        if kind is float:
            return kind, value.hex()
        if kind in (list, dict, CellType):
            return kind, self._changing(value)
        if isinstance(value, tuple) and not hasattr(value, "__dict__"):
            return kind, tuple(map(self.key, value))
        if kind is FunctionType:
            fixed = value.__defaults__, tuple((value.__kwdefaults__ or {}).items()), value.__closure__
            return value.__code__, self.key(fixed)
        if kind is BytesProxy:
            return kind, value.place
        start = proxy_start(value)
        if start is not None:
            return kind, start
        same = value is worker or value is UNKNOWN or isinstance(value, Scenario | type)
        if same or kind.__name__ == "CField":  # it is the same in all runs
            return id(value)
        raise TypeError

    def _changing(self, value: Any) -> Hashable:
        if id(value) in self._met:
            return self._met[id(value)]
        self._met[id(value)] = len(self._met)
        if isinstance(value, dict):
            return self.keys(value.items())
        try:
            return tuple(map(self.key, value if isinstance(value, list) else [value.cell_contents]))
        except ValueError:  # an empty cell
            return None


ENDS = ("RETURN", "RAISE", "RERAISE", "JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_ABSOLUTE")
"""Instructions after which the next one is not run, by their beginnings."""


def _depth(code: CodeType, place: int) -> int | None:
    """Return how many values lie on the interpreter's stack once the instruction is over in which it is.

    None where that is not known. An instruction is followed by room of its own, where the place may be.
    """
    depths = _depths(code)
    while place >= 0 and place not in depths:
        place -= 2
    return depths.get(place)


@cache
def _depths(code: CodeType) -> dict[int, int | None]:
    """Return how many values lie on the interpreter's stack after each instruction, by its offset.

    It is None in handlers of exceptions, and after jumps.
    """
    from dis import get_instructions, hasjabs, hasjrel, stack_effect

    instructions = {each.offset: each for each in get_instructions(code)}
    offsets = list(instructions)
    following = dict(pairwise(offsets))
    before = {0: 0}
    depths: dict[int, int | None] = dict.fromkeys(offsets)
    waiting = [0]
    while waiting:
        at = waiting.pop()
        each = instructions[at]
        ways = []
        if not each.opname.startswith(ENDS) and at in following:
            ways.append((following[at], False))
        if each.opcode in hasjrel or each.opcode in hasjabs:
            ways.append((each.argval, True))
        for to, jumps in ways:
            depth = before[at] + stack_effect(each.opcode, each.arg, jump=jumps)
            if not jumps:
                depths[at] = depth
            if to not in before:
                before[to] = depth
                waiting.append(to)
    return depths
