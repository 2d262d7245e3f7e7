"""flock(2): one lock for the whole file, owned by the open file description."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from functools import partial

from lab.model.nested import Nested

from .native import NATIVE
from .nesting import Nesting
from .protocol import Abilities, Action

Counted = Callable[[int], tuple[Action, Action]]
"""The acquire and the release of one range of one open file, by flock's operation; ranges held together are counted."""


def python_calls(descriptor: int) -> Counted:
    """Counted by `Nesting`, called by the fcntl module."""
    nesting, unlock = Nesting(), partial(fcntl.flock, descriptor, fcntl.LOCK_UN)

    def pair(operation: int) -> tuple[Action, Action]:
        exclusive = operation == fcntl.LOCK_EX
        return nesting.around(partial(fcntl.flock, descriptor, operation), unlock, exclusive=exclusive)

    return pair


def native_calls(descriptor: int) -> Counted:
    """Counted and called by `_native.c`."""
    assert NATIVE  # noqa: S101 - for the type checker
    call, whole = NATIVE.Call, NATIVE.FLOCK
    unlock = call(descriptor, whole, fcntl.LOCK_UN)
    return lambda operation: (call(descriptor, whole, operation, 0, 0, unlock), unlock)


CALLS = native_calls if NATIVE else python_calls


class Flock:
    """flock(2) without ranges: every range that a scenario asks for is the whole file.

    Ranges that one worker holds together are counted. A write range asked for inside a read range converts the lock,
    which flock(2) does not do atomically.
    """

    name = "flock"
    summary = "flock: the whole file, it has no ranges; owned by the open file"
    has_ranges = False
    excludes = True
    nested = Nested.CONVERTED
    abilities = Abilities(ranges=False, readers=True, threads=True, fork=False, survives_kill=True)

    def __init__(self) -> None:
        self._opened: dict[int, Counted] = {}

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """flock(2) LOCK_EX or LOCK_SH, and LOCK_UN once the last range is given back."""
        if descriptor not in self._opened:
            self._opened[descriptor] = CALLS(descriptor)
        return self._opened[descriptor](fcntl.LOCK_EX if write else fcntl.LOCK_SH)
