"""Your own lock, or a library's, in the place of the lab's: `adapt`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from lab.errors import LabError, UsageError

from .beside import beside, removed_beside
from .foreign import pair, sides
from .nesting import Nesting
from .protocol import Abilities, Action, Lock
from .told import told

Factory = Callable[[str], Any]
Sided = Callable[[bool], tuple[Action, Action]]
"""The acquire and the release of one open file, exclusive or not."""


class Adapted:
    """A foreign lock as the lab's workers use it: see `adapt`. Locks are kept by open file, each with its object."""

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
        """The same lock under another name, with no object made yet."""
        read, write = self._methods or (None, None)
        return Adapted(self._factory, name, self.summary, read=read, write=write, abilities=self.abilities)

    @contextmanager
    def prepared(self, path: str) -> Iterator[Lock]:
        """The lock for one trial, with no object made yet; afterwards its lock file is removed."""
        with removed_beside(path):
            yield self.named(self.name)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """The acquire and the release of the object of this open file, made when it is first asked for.

        Raises UsageError where the factory raises, or makes what is no lock.
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
            raise UsageError(f"lock {self.name}: its factory raised {told(error)}; mend it") from error


def adapt(
    factory: Factory,
    *,
    name: str | None = None,
    summary: str | None = None,
    read: str | None = None,
    write: str | None = None,
) -> Lock:
    """Your lock as a lock of the lab, from a factory that makes one.

        from filelock import FileLock
        from lab.locks import adapt

        my_lock = adapt(lambda path: FileLock(path, poll_interval=0.001), name="mine")

    Then `python -m lab race counter --lock my_module:my_lock`, or `lock=my_lock` in Python.

    The factory is called in each worker, after the fork, once an open file, with the name of a lock file beside the
    data: the data file's name and ".lock", which does not exist yet. It returns an object with acquire() and release(),
    or anything that works with `with`. An acquire() that returns False counts as refused. A lock with readers
    and writers names its two methods, each of which returns a context manager: `read="read_lock", write="write_lock"`.

    Every range that a scenario asks for is the whole lock; ranges that one worker holds together are counted, and a
    write range asked for inside a read range gives up the shared lock before it waits for the exclusive one. What the
    lock raises ends the worker and is told with the lock's name. Raises UsageError for a factory that is not callable.
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
