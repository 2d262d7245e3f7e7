"""What a lock must offer, what it may offer, and how to find out whether a directory supports it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.errors import CannotRunError
from lab.regions import scratch

Action = Callable[[], object]
"""One pre-built system call: nothing is looked up or packed when it runs."""

REFUSED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What filesystems and kernels answer that do not have the lock (fcntl(2), flock(2))."""


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

    It may also offer `abilities`, an `Abilities`, and `prepared(path)`: see `abilities` and `prepared` here.
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


def prepared(lock: Lock, path: str) -> AbstractContextManager[Lock]:
    """The lock for the workers of one trial on the file of this name, before they are forked; after the block its end.

    A lock that offers `prepared(path)` makes there what the workers inherit (a semaphore), and takes away what it left
    behind. Any other is used as it is. Raises CannotRunError where it cannot be made.
    """
    make: Callable[[str], AbstractContextManager[Lock]] | None = getattr(lock, "prepared", None)
    return make(path) if make else nullcontext(lock)


def probe(lock: Lock, directory: Path) -> None:
    """Take the lock once on a new file in the directory; raises CannotRunError where it is refused."""
    try:
        with scratch(directory) as path, prepared(lock, str(path)) as made, path.open("r+b") as file:
            acquire, release = made.actions(file.fileno(), 0, 1, write=True)
            acquire()
            release()
    except OSError as error:
        if error.errno in REFUSED:
            raise CannotRunError(
                f"lock {lock.name}: refused on {directory} ({os.strerror(error.errno)}); "
                "try another --lock or another --dir"
            ) from error
        raise CannotRunError(f"{directory}: cannot make a file there ({error.strerror}); give another --dir") from error
