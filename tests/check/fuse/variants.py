"""Servers that are broken in one way each: the honest one (tests/check/fuse/honest.py) but for what stands here."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from errno import EDEADLK, ENOSYS
from pathlib import Path
from threading import Event
from typing import ClassVar

from .honest import Attempt, Flock, FlockPointer, Honest
from .owners import Owner
from .passthrough import Connection, OpenFile, Passthrough
from .pieces import END, Piece

WRITEBACK_CACHE = 1 << 16
"""FUSE_CAP_WRITEBACK_CACHE (fuse_common.h)."""


class NoLock(Passthrough):
    """Has no lock callback: the kernel keeps the locks, for each mount alone."""

    def __init__(self, backing: Path, _: int) -> None:
        super().__init__(backing)


class Always(Honest):
    """Grants everything."""

    def acquire(self, attempt: Attempt, *, waits: bool) -> None:
        pass


class Lies(Honest):
    """Grants what it should refuse, or let wait, once in a while."""

    more_tries = 0
    one_lie_in: ClassVar[int]

    def refused(self, attempt: Attempt, *, waits: bool) -> None:
        if not self.one_in(self.one_lie_in):
            super().refused(attempt, waits=waits)


class Lies100(Lies):
    """Grants 1 in 100 of the requests that it should refuse, or let wait."""

    one_lie_in = 100


class Lies1000(Lies):
    """Grants 1 in 1,000 of the requests that it should refuse, or let wait."""

    one_lie_in = 1000


class Enosys(Honest):
    """Has lock callbacks that answer "not implemented"."""

    def lock(self, _: str, file: OpenFile, command: int, pointer: FlockPointer) -> None:
        raise OSError(ENOSYS, "no locks here")

    def flock(self, _: str, file: OpenFile, operation: int) -> None:
        raise OSError(ENOSYS, "no locks here")


class Writeback(Honest):
    """Excludes, but the kernel keeps what is written to itself for a while."""

    def init_with_config(self, connection: Connection, config: object) -> None:
        super().init_with_config(connection, config)
        connection.want |= WRITEBACK_CACHE

    def flags(self, flags: int) -> int:  # the kernel reads what it writes, and knows itself where the end is
        return flags & ~os.O_ACCMODE & ~os.O_APPEND | os.O_RDWR


class DirectIo(Honest):
    """Excludes, without a page cache, so without shared mappings."""

    options: ClassVar[dict[str, object]] = {"direct_io": True}


class WholeFile(Honest):
    """Locks the whole file, whatever range is asked for."""

    def asked(self, request: Flock) -> Piece:
        return super().asked(request)._replace(start=0, end=END)


class NoMerge(Honest):
    """Keeps ranges of one owner apart that are one lock: F_GETLK reports the piece that was asked for."""

    def reported(self, found: Piece, noted: Piece) -> Piece:
        return noted


class ForgetsOnClose(Honest):
    """Forgets on any close of a descriptor what all its owners hold, the parent's locks when its child closes."""

    def flush(self, path: str, file: OpenFile) -> None:
        super().flush(path, file)
        for owner in self.owners.of_handle(file.fh):
            owner.unlock(Piece(fcntl.F_UNLCK, 0, END))
            owner.flock(fcntl.LOCK_UN, file.fh)


class LeaksOfd(Honest):
    """Keeps the OFD locks of an open file that was closed, as does a server that waits to be told of an unlock."""

    def left(self, owner: Owner, handle: int) -> None:
        owner.flock(fcntl.LOCK_UN, handle)


class FalseDeadlock(Honest):
    """Answers 1 in 50 of the requests that have to wait with "deadlock"."""

    def refused(self, attempt: Attempt, *, waits: bool) -> None:
        if waits and self.one_in(50):
            raise OSError(EDEADLK, "there is no deadlock")
        super().refused(attempt, waits=waits)


class WakesNobody(Honest):
    """Never wakes a waiter; only a signal ends its wait."""

    def refused(self, attempt: Attempt, *, waits: bool) -> None:
        while waits and not self.interrupted():
            time.sleep(0.002)
        super().refused(attempt, waits=waits)


class NeverAnswers(Honest):
    """Does not answer a request for a lock, nor a signal for the one who asked."""

    def acquire(self, attempt: Attempt, *, waits: bool) -> None:
        Event().wait()


VARIANTS: dict[str, Callable[[Path, int], Passthrough]] = {
    "honest": Honest,
    "no_lock": NoLock,
    "always": Always,
    "lies_100": Lies100,
    "lies_1000": Lies1000,
    "enosys": Enosys,
    "writeback": Writeback,
    "direct_io": DirectIo,
    "whole_file": WholeFile,
    "no_merge": NoMerge,
    "forgets_on_close": ForgetsOnClose,
    "leaks_ofd": LeaksOfd,
    "false_deadlock": FalseDeadlock,
    "wakes_nobody": WakesNobody,
    "never_answers": NeverAnswers,
}
