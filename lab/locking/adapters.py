"""Adapt a foreign lock, yours or a library's, so that it can be used in the place of the lab's: `adapt`.

Whatever the lock object offers (acquire and release, `with`, readers and writers) becomes two calls.

An error inside it is reported with the lock's name, a timeout as `GaveUp`. EDEADLK passes as it is, since scenarios may
handle it (`Deadlock`).

The lock file is beside the data: many libraries truncate the file that they lock, or remove it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, _GeneratorContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from lab.errors import LabError, UsageError, error_line
from lab.memory.folder import Folder

from .kernel import Nesting
from .protocol import Abilities, Action, GaveUp, Lock, LockFailed, kind_of

Entrance = Callable[[], AbstractContextManager[object]]
"""A function that returns the context manager of one hold."""


REQUESTS = ("acquire()", "__enter__")


class Sides:
    """The shared and the exclusive side of one lock object, of which one open file holds one at a time."""

    __slots__ = ("_held", "_pairs")

    def __init__(self, shared: tuple[Action, Action], exclusive: tuple[Action, Action]) -> None:
        self._pairs = shared, exclusive
        self._held: Action | None = None

    def take(self, exclusive: bool) -> None:
        """Acquire that side; the other one, where it is held, is released first, since few locks can convert."""
        self.give()
        acquire, release = self._pairs[exclusive]
        acquire()
        self._held = release

    def give(self) -> None:
        """Release the side that is held, if one is."""
        release, self._held = self._held, None
        if release:
            release()


def pair(name: str, made: Any, again: Entrance) -> tuple[Action, Action]:
    """Return the acquire and the release of what a factory returned; their errors are reported under this name.

    `again` makes another one: a generator's context manager can be entered only once. Raises UsageError where it offers
    neither acquire() and release() nor `with`.
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
    """Return the two sides of a readers-writer lock, by the names of the methods that return a context manager.

    Raises UsageError where it has no such method.
    """
    for method in (read, write):
        if not callable(getattr(made, method, None)):
            raise UsageError(f"lock {name}: {kind_of(made)} has no method {method}(); name one that it has")
    return Sides(entered(name, getattr(made, read)), entered(name, getattr(made, write)))


def is_manager(made: object) -> bool:
    """Return True if the object can be used with `with`: the language looks at the type."""
    return hasattr(type(made), "__enter__") and hasattr(type(made), "__exit__")


def entered(name: str, entrance: Entrance) -> tuple[Action, Action]:
    """Return an acquire that enters the context manager of the entrance, and a release that leaves it."""
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
    """Return the acquire; its result False is a refusal."""

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
        raise failed(f"lock {name}: {what} raised {error_line(error)}") from error


def _is_timeout(error: BaseException) -> bool:
    """Return True for the error by which a library says that it waited long enough: few of them use TimeoutError."""
    return isinstance(error, TimeoutError) or any("timeout" in kind.__name__.lower() for kind in type(error).__mro__)


SUFFIX = ".lock"
REPLACED = " (deleted)"
"""Linux appends this to the name of an open file that lost it (proc(5), /proc/PID/fd)."""


def beside(descriptor: int) -> str:
    """Return the name of the lock file of an open data file, also of one that another file has replaced since."""
    return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(REPLACED) + SUFFIX  # noqa: PTH115 - text, no Path


@contextmanager
def removed_beside(path: str) -> Iterator[None]:
    """Remove the lock file of this data file after the block, and the library's files beside it under a longer name.

    Files that cannot be removed stay.
    """
    data = Path(path)
    folder = Folder.at(data.parent)
    try:
        yield
    finally:
        with suppress(OSError):
            folder.clear(lambda name: name.startswith(data.name + SUFFIX))


Factory = Callable[[str], Any]
Sided = Callable[[bool], tuple[Action, Action]]
"""A function that returns the acquire and the release of one open file, exclusive or not."""


class Adapted:
    """A foreign lock in the form in which the lab's workers use it: see `adapt`.

    Locks are kept by open file, each with its object.
    """

    has_ranges = False
    excludes = True

    def __init__(
        self,
        factory: Factory,
        name: str,
        summary: str,
        *,
        read: str | None = None,
        write: str | None = None,
        abilities: Abilities | None = None,
        nameless: bool = False,
    ) -> None:
        if (read is None) != (write is None):
            raise UsageError(f"lock {name}: names {read or write}() alone; name both methods, read= and write=")
        self.name = name
        self.nameless = nameless
        self.summary = summary
        self.abilities = abilities
        self._factory = factory
        self._methods = (read, write) if read and write else None
        self._opened: dict[int, Sided] = {}

    def named(self, name: str) -> Adapted:
        """Return the same lock under another name, with no object made yet."""
        read, write = self._methods or (None, None)
        return Adapted(self._factory, name, self.summary, read=read, write=write, abilities=self.abilities)

    @contextmanager
    def prepared(self, path: str) -> Iterator[Lock]:
        """Return the lock for one trial, with no object made yet; afterwards its lock file is removed."""
        with removed_beside(path):
            yield self.named(self.name)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Return the acquire and the release of the object of this open file, which is made at the first call.

        Raises UsageError where the factory raises, or makes an object that is no lock.
        """
        if descriptor not in self._opened:
            self._opened[descriptor] = self._made(beside(descriptor))
        return self._opened[descriptor](write)

    def _made(self, path: str) -> Sided:
        made, nesting = self._call(path), Nesting()
        if self._methods:
            either = sides(self.name, made, *self._methods)
            return lambda write: nesting.around(partial(either.take, write), either.give, exclusive=write)
        acquire, release = pair(self.name, made, partial(self._factory, path))
        return lambda write: nesting.around(acquire, release, exclusive=True)

    def _call(self, path: str) -> Any:
        try:
            return self._factory(path)
        except LabError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"lock {self.name}: its factory raised {error_line(error)}; fix it") from error


def adapt(
    factory: Factory,
    *,
    name: str | None = None,
    summary: str | None = None,
    read: str | None = None,
    write: str | None = None,
) -> Lock:
    """Make your lock a lock of the lab, from a factory that makes one.

        from filelock import FileLock
        from lab import adapt

        my_lock = adapt(lambda path: FileLock(path, poll_interval=0.001), name="mine")

    Then run `lab race counter --lock my_module:my_lock`, or pass `lock=my_lock` in Python.

    The factory is called in each worker, after the fork, once an open file, with the name of a lock file beside the
    data: the data file's name and ".lock", which does not exist yet. It returns an object with acquire() and release(),
    or anything that works with `with`. An acquire() that returns False counts as refused. A lock with readers and
    writers names its two methods, each of which returns a context manager: `read="read_lock", write="write_lock"`.

    Every range that a scenario locks is the whole lock; ranges that one worker holds together are counted, and a write
    range requested inside a read range releases the shared lock before it waits for the exclusive one. An exception of
    the lock ends the worker and is reported with the lock's name. Raises UsageError for a factory that is not callable.
    """
    if not callable(factory):
        raise UsageError(f"adapt: {factory!r} cannot be called; give a function of the lock file's path")
    called = getattr(factory, "__qualname__", type(factory).__name__).rpartition(".")[2]
    return Adapted(
        factory,
        name or ("adapted" if called == "<lambda>" else called),
        summary or "an adapted lock: the whole file, through a lock file beside it",
        read=read,
        write=write,
        nameless=name is None,
    )
