"""Tell whether a worker that tries again knows more than it did at an earlier try; if not, the tries are not counted.

What a running text does next is decided by where it is, by its variables, and by what it loads.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from lab.histories.call import UNKNOWN
from lab.scenario import Scenario

from .worker import SteppedWorker

PLAIN = (int, float, str, bytes, bool, type(None))


def known_by(worker: SteppedWorker, life: CodeType) -> Hashable:
    """Return what the running text of a worker knows: its notes, and where it is with which local variables.

    Returns None where that cannot be told: a variable holds more than plain values and what stays the same in all runs,
    or the place is within a `for`, whose iterator is no variable.
    """
    try:
        found: list[Hashable] = [_plain(vars(worker.local), worker)]
        if worker.open_files:
            return None
        frame = sys._getframe(3)
        while frame.f_code is not life:
            if _in_for(frame.f_code, frame.f_lasti):
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


@cache
def _in_for(code: CodeType, place: int) -> bool:
    """Return True for a place in the body of a `for`."""
    from dis import get_instructions

    loops = (each for each in get_instructions(code) if each.opname == "FOR_ITER")
    return any(each.offset < place < each.argval for each in loops)
