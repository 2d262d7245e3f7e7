"""Define the protocol of a lock: what it must offer, what it may offer, and what it raises.

An author may write `actions` alone: the rest has defaults. A lock that is not available here has a stand-in, so that
the others can be raced.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol, cast

from lab.analysis.holds import Nested
from lab.errors import CannotRunError, ExitCode, LabError, UsageError, error_line

Action = Callable[[], object]
"""One pre-built system call: nothing is looked up or packed when it runs."""


class LockFailed(LabError):  # noqa: N818 - the report on a worker says "raised LockFailed"
    """A call of a foreign lock raised, or refused where it should have waited."""

    exit_code = ExitCode.FAILED


class GaveUp(LockFailed):
    """A foreign lock that should have waited without a limit did not grant the request; the round is not done."""


class Deadlock(OSError):  # noqa: N818 - the field's word, and an errno's name
    """The kernel refused to wait: EDEADLK, the holder waits for a lock of ours (fcntl(2))."""


def typed(error: BaseException) -> BaseException:
    """Return an OSError with errno EDEADLK as a `Deadlock`, any other error as it is."""
    deadlock = isinstance(error, OSError) and error.errno == errno.EDEADLK
    return Deadlock(*error.args) if deadlock else error


class Abilities(NamedTuple):
    """The claims of a lock's documentation: `lab locks` measures them.

    `ranges`: parts of a file are locked apart. `readers`: several readers are granted the lock together. `threads`: two
    threads of one process, each with its own open file, exclude each other. `fork`: a child forked by the holder is not
    granted the lock. `survives_kill`: the lock is released when its holder is killed.
    """

    ranges: bool
    readers: bool
    threads: bool
    fork: bool
    survives_kill: bool

    def __str__(self) -> str:
        """Return its abilities in a few words."""
        claims = {
            "ranges": self.ranges,
            "shared readers": self.readers,
            "keeps threads apart": self.threads,
            "keeps a forked child out": self.fork,
            "freed by a kill": self.survives_kill,
        }
        return ", ".join(words for words, able in claims.items() if able)


class Lock(Protocol):
    """A way to exclude: offered under a name in the entry-point group `lab.locks`, made without arguments.

    One that offers `actions` alone is completed (`completed`). It may also offer `abilities`, an `Abilities`, and
    `prepared(path)` (`prepared`).
    """

    name: str
    summary: str
    has_ranges: bool
    excludes: bool

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Return the acquire and the release of one byte range on one open file, ready to be called.

        Length 0 runs to infinity. Acquire waits; it raises OSError, with errno EDEADLK where the kernel notices a
        deadlock. Called once a range and worker, before the hot loop.
        """


def abilities(lock: Lock) -> Abilities | None:
    """Return what the lock claims that it can do; None where it claims nothing."""
    claimed = getattr(lock, "abilities", None)
    return claimed if isinstance(claimed, Abilities) else None


def nested(lock: Lock) -> Nested:
    """Return what the lock does to a hold inside which the same worker requests another one.

    Its attribute `nested` says so, if it has one.
    """
    known = getattr(lock, "nested", None)
    return known if isinstance(known, Nested) else Nested.KEPT


VOWEL = re.compile(r"[aeio]|un(?!i)", re.IGNORECASE)
"""The beginning of a name that is spoken with a vowel: Unpicklable, but not UnixLock, User or UUID."""


def kind_of(thing: object) -> str:
    """Return the type of a value with its article: a str, an int, None."""
    name = type(thing).__name__
    return "None" if thing is None else f"{'an' if VOWEL.match(name) else 'a'} {name}"


ASKED = ("name", "summary", "has_ranges", "excludes")
SUMMARY = "a lock of the lab's own kind"


class Completed:
    """The lock under this name, with defaults for what it does not say itself.

    It excludes, and locks ranges as `actions` does.
    """

    def __init__(self, lock: Any, name: str) -> None:
        self.abilities = abilities(lock)
        self.name: str = getattr(lock, "name", name)
        self.summary: str = getattr(lock, "summary", SUMMARY)
        self.has_ranges: bool = getattr(lock, "has_ranges", self.abilities.ranges if self.abilities else True)
        self.excludes: bool = getattr(lock, "excludes", True)
        self.actions = lock.actions
        self._lock = lock

    def prepared(self, path: str) -> AbstractContextManager[Lock]:
        """See `prepared` here."""
        return prepared(self._lock, path, self.name)


def completed(lock: Any, name: str) -> Lock:
    """Return the lock as it is where it offers all that is needed, else with the rest filled in.

    Raises UsageError where its `actions` cannot be called, or its name is no text.
    """
    if not callable(lock.actions):
        raise UsageError(
            f"lock {name}: its actions is {kind_of(lock.actions)}, which cannot be called; "
            "define actions(self, descriptor, start, length, *, write)"
        )
    if not isinstance(getattr(lock, "name", name), str):
        raise UsageError(f"lock {name}: its name is {kind_of(lock.name)}; give a text, or leave it out")
    return cast("Lock", lock) if all(hasattr(lock, each) for each in ASKED) else Completed(lock, name)


@contextmanager
def prepared(lock: Any, path: str, name: str = "") -> Iterator[Lock]:
    """Prepare the lock for the workers of one trial on this file, before the fork; clean up after the block.

    A lock that offers `prepared(path)` makes there what the workers inherit (a semaphore), and removes what it left
    behind. Any other is used as it is. Raises CannotRunError where it cannot be made, LockFailed for any other
    exception of it.
    """
    name = name or lock.name
    with ExitStack() as stack:
        made = lock
        if hasattr(lock, "prepared"):
            with _blamed(name):
                made = stack.enter_context(lock.prepared(path))
        yield completed(made, name)


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Report with the lock's name what its `prepared` raises within the block."""
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        raise LockFailed(f"lock {name}: prepared() raised {error_line(error)}; fix the lock") from error


class Missing:
    """A lock of this name that is not available; using it raises an error with the reason."""

    summary = "not available here"
    has_ranges = False
    excludes = True

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self._why = why

    def prepared(self, path: str) -> AbstractContextManager[Lock]:
        """Raise CannotRunError."""
        raise CannotRunError(self._why)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Raise CannotRunError."""
        raise CannotRunError(self._why)
