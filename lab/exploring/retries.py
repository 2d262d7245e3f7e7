"""Tell whether a worker that tries again knows more than it did at an earlier try; if not, the tries are not counted.

What a running text does next is decided by where it is, by its variables, and by what it loads.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from functools import cache
from itertools import pairwise
from types import CodeType, FunctionType
from typing import Any

from lab.histories.call import UNKNOWN
from lab.scenario import Scenario

from .worker import SteppedWorker

PLAIN = (int, float, str, bytes, bool, type(None))


def known_by(worker: SteppedWorker, life: CodeType) -> Hashable:
    """Return what the running text of a worker knows: its notes, and where it is with which local variables.

    Returns None where that cannot be told: a variable holds more than plain values and what stays the same in all runs,
    or the interpreter keeps a value in the middle of an expression, an iterator of a `for` or a context manager.
    """
    try:
        found: list[Hashable] = [_plain(vars(worker.local), worker)]
        if worker.open_files:
            return None
        frame = sys._getframe(3)
        while frame.f_code is not life:
            if _depth(frame.f_code, frame.f_lasti) != 1:  # more than what the call will return
                return None
            found.append((frame.f_code, frame.f_lasti, _plain(dict(frame.f_locals), worker)))
            frame = frame.f_back  # type: ignore[assignment]
    except TypeError:
        return None
    return tuple(found)


def _plain(value: Any, worker: SteppedWorker) -> Hashable:
    """Return a key of a value. Raises TypeError for one that may change and look the same."""
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, list | tuple):
        return type(value), tuple(_plain(each, worker) for each in value)
    if isinstance(value, dict):
        return frozenset((key, _plain(each, worker)) for key, each in value.items())
    if isinstance(value, FunctionType):
        return value.__code__, tuple(_plain(each.cell_contents, worker) for each in value.__closure__ or ())
    if value is worker or value is worker.memory or value is UNKNOWN or isinstance(value, Scenario | type):
        return id(value)
    raise TypeError


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
