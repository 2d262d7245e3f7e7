"""What a lock must offer, what it may offer, and what it raises."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lab.errors import LabError
from lab.model.nested import Nested

Action = Callable[[], object]
"""One pre-built system call: nothing is looked up or packed when it runs."""


class LockFailed(LabError):  # noqa: N818 - what is told of a worker: "raised LockFailed"
    """A call of a foreign lock raised, or refused where it was to wait."""

    exit_code = 4


class GaveUp(LockFailed):
    """A foreign lock that was to wait without a limit kept its caller out and came back: the round is not done."""


class Deadlock(OSError):  # noqa: N818 - the field's word, and an errno's name
    """The kernel refused to wait: EDEADLK, the holder waits for a lock of ours (fcntl(2))."""


def typed(error: BaseException) -> BaseException:
    """An OSError with errno EDEADLK as a `Deadlock`, any other error as it is."""
    deadlock = isinstance(error, OSError) and error.errno == errno.EDEADLK
    return Deadlock(*error.args) if deadlock else error


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a lock's documentation claims: `python -m lab locks` measures it.

    `ranges`: parts of a file are locked apart. `readers`: several readers are let in together. `threads`: two threads
    of one process, each with its own open file, exclude each other. `fork`: a child forked by the holder is not let in.
    `survives_kill`: the lock is given back when its holder is killed.
    """

    ranges: bool
    readers: bool
    threads: bool
    fork: bool
    survives_kill: bool

    def __str__(self) -> str:
        """What it can, in a few words."""
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
        """The acquire and the release of one byte range on one open file, ready to be called.

        Length 0 runs to infinity. Acquire waits; it raises OSError, with errno EDEADLK where the kernel
        notices a deadlock. Called once a range and worker, before the hot loop.
        """


def abilities(lock: Lock) -> Abilities | None:
    """What the lock claims that it can do; None where it claims nothing."""
    claimed = getattr(lock, "abilities", None)
    return claimed if isinstance(claimed, Abilities) else None


def nested(lock: Lock) -> Nested:
    """What the lock does to a hold inside which the same worker asks for another one: `nested`, where it says so."""
    known = getattr(lock, "nested", None)
    return known if isinstance(known, Nested) else Nested.KEPT
