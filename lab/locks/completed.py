"""A lock of the lab's protocol of which its author wrote `actions` alone: what else the lab asks has a default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, cast

from lab.errors import LabError, UsageError

from .protocol import Lock, LockFailed, abilities
from .told import kind_of, told

ASKED = ("name", "summary", "has_ranges", "excludes")
SUMMARY = "a lock of the lab's own kind"


class Completed:
    """The lock under this name, with what it does not say itself: it excludes, and locks ranges as `actions` asks."""

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
    """The lock as it is where it offers all that is asked, else with the rest filled in.

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
    """The lock for the workers of one trial on the file of this name, before they are forked; after the block its end.

    A lock that offers `prepared(path)` makes there what the workers inherit (a semaphore), and takes away what it left
    behind. Any other is used as it is. Raises CannotRunError where it cannot be made, LockFailed for what else that
    raises.
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
    """Within the block what a lock's `prepared` raises is told with its name."""
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        raise LockFailed(f"lock {name}: prepared() raised {told(error)}; mend the lock") from error
