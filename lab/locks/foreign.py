"""A lock object of somebody else, as two calls: whatever it offers of acquire and release, `with`, readers and writers.

What goes wrong inside it is told with its name, a timeout as `GaveUp`. EDEADLK passes as it is, since scenarios may
handle it (`Deadlock`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager, _GeneratorContextManager
from functools import partial
from typing import Any

from lab.errors import UsageError

from .protocol import Action, GaveUp, LockFailed
from .told import kind_of, told

Entrance = Callable[[], AbstractContextManager[object]]
"""Gives what is entered for one hold, and left again."""


REQUESTS = ("acquire()", "__enter__")


class Sides:
    """The shared and the exclusive side of one lock object, of which one open file holds one at a time."""

    __slots__ = ("_held", "_pairs")

    def __init__(self, shared: tuple[Action, Action], exclusive: tuple[Action, Action]) -> None:
        self._pairs = shared, exclusive
        self._held: Action | None = None

    def take(self, exclusive: bool) -> None:
        """Wait for that side; the other one, where it is held, is given up first, since few locks can convert."""
        self.give()
        acquire, release = self._pairs[exclusive]
        acquire()
        self._held = release

    def give(self) -> None:
        """Give back the side that is held, if one is."""
        release, self._held = self._held, None
        if release:
            release()


def pair(name: str, made: Any, again: Entrance) -> tuple[Action, Action]:
    """The acquire and the release of what a factory returned, told under this name where they raise.

    `again` makes another one: a generator's context manager can be entered only once. Raises UsageError where it
    offers neither acquire() and release() nor `with`.
    """
    if callable(getattr(made, "acquire", None)) and callable(getattr(made, "release", None)):
        return _granted(name, _told(name, "acquire()", made.acquire)), _told(name, "release()", made.release)
    if isinstance(made, _GeneratorContextManager):
        return entered(name, again)
    if is_manager(made):
        return entered(name, lambda: made)
    raise UsageError(
        f"lock {name}: its factory returned {kind_of(made)}, which has neither acquire() and release() nor `with`; "
        "return the lock object"
    )


def sides(name: str, made: object, read: str, write: str) -> Sides:
    """The two sides of a readers-writer lock, by the names of the methods that return a context manager.

    Raises UsageError where it has no such method.
    """
    for method in (read, write):
        if not callable(getattr(made, method, None)):
            raise UsageError(f"lock {name}: {kind_of(made)} has no method {method}(); name one that it has")
    return Sides(entered(name, getattr(made, read)), entered(name, getattr(made, write)))


def is_manager(made: object) -> bool:
    """Whether it can be used with `with`: the language looks at the type."""
    return hasattr(type(made), "__enter__") and hasattr(type(made), "__exit__")


def entered(name: str, entrance: Entrance) -> tuple[Action, Action]:
    """Acquire and release by entering what the entrance gives, and leaving it."""
    inside: list[AbstractContextManager[object]] = []

    def enter() -> None:
        manager = entrance()
        if not is_manager(manager):
            raise TypeError(f"{kind_of(manager)} is no context manager")
        manager.__enter__()
        inside.append(manager)

    def leave() -> None:
        inside.pop().__exit__(None, None, None)

    return _told(name, "__enter__", enter), _told(name, "__exit__", leave)


def _granted(name: str, acquire: Action) -> Action:
    """The acquire, where False is a refusal."""

    def granted() -> None:
        if acquire() is False:
            raise GaveUp(f"lock {name}: acquire() returned False: it gave up, and was to wait without a limit")

    return granted


def _told(name: str, what: str, call: Action) -> Action:
    return partial(_call, name, what, call)


def _call(name: str, what: str, call: Action) -> object:
    try:
        return call()
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError) and error.errno == errno.EDEADLK:
            raise
        failed = GaveUp if what in REQUESTS and _is_timeout(error) else LockFailed
        raise failed(f"lock {name}: {what} raised {told(error)}") from error


def _is_timeout(error: BaseException) -> bool:
    """Whether that is how a library says that it waited long enough: few of them use TimeoutError."""
    return isinstance(error, TimeoutError) or any("timeout" in kind.__name__.lower() for kind in type(error).__mro__)
