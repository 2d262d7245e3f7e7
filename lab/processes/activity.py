"""Tell the parent what a child does now, on a page of shared memory: also when the child hangs in it.

A call on a mount that has stopped answering may never return, and then the child can tell nothing any more. So it
notes before each such call what it does and how long that may take; a note is two stores and no system call. The
first call that had no answer, or process that did not end on SIGKILL, is noted beside that and stays.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import mmap
from typing import ClassVar

DEADLINE = struct.Struct("d")
HEADER = struct.Struct("dqH")
"""When it began (time.monotonic), the process, and how many bytes of text follow."""

TOUCH_S = 6.0
"""A call on a mount that waits for no other process takes no longer than this, or the mount does not answer."""

LENGTH = struct.Struct("H")
SIZE, HANG_AT = 8192, 4096
"""The second half names what hung first: the length of the text, then the text."""

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Deed:
    """What a process does, since when (time.monotonic), and for how many seconds it may."""

    what: str
    pid: int
    since: float
    limit_s: float


class Activity:
    """The page; made before the fork, and `install`ed in the child."""

    _installed: ClassVar[Activity | None] = None

    def __init__(self) -> None:
        self._page = mmap(-1, SIZE)
        DEADLINE.pack_into(self._page, 0, NEVER)

    def install(self) -> None:
        """From now on what this process notes goes here."""
        Activity._installed = self

    def write(self, what: str, limit_s: float) -> None:
        """Note it. The deadline comes last, in one store: a reader never sees one beside another's text for long."""
        text = what.encode(errors="surrogateescape")[: HANG_AT - DEADLINE.size - HEADER.size]
        now = time.monotonic()
        DEADLINE.pack_into(self._page, 0, NEVER)
        HEADER.pack_into(self._page, DEADLINE.size, now, os.getpid(), len(text))
        start = DEADLINE.size + HEADER.size
        self._page[start : start + len(text)] = text
        DEADLINE.pack_into(self._page, 0, now + limit_s)

    def read(self) -> Deed:
        """Return what was noted last."""
        (deadline,) = DEADLINE.unpack_from(self._page, 0)
        since, pid, length = HEADER.unpack_from(self._page, DEADLINE.size)
        start = DEADLINE.size + HEADER.size
        text = self._page[start : start + length].decode(errors="surrogateescape")
        return Deed(text, pid, since, deadline - since)

    def overdue(self) -> Deed | None:
        """Return what should have ended by now and has not."""
        if DEADLINE.unpack_from(self._page, 0)[0] > time.monotonic():
            return None
        deed = self.read()
        return deed if deed.since + deed.limit_s <= time.monotonic() else None

    def write_hang(self, what: str) -> None:
        """Note what hung, where nothing has before. The length comes last."""
        if self.hang():
            return
        text = what.encode(errors="surrogateescape")[: SIZE - HANG_AT - LENGTH.size]
        self._page[HANG_AT + LENGTH.size : HANG_AT + LENGTH.size + len(text)] = text
        LENGTH.pack_into(self._page, HANG_AT, len(text))

    def hang(self) -> str:
        """Return what hung first, or an empty text."""
        (length,) = LENGTH.unpack_from(self._page, HANG_AT)
        start = HANG_AT + LENGTH.size
        return self._page[start : start + length].decode(errors="surrogateescape")


def note_hang(what: str) -> None:
    """Tell the parent, where it reads, of a call without an answer, or a process that SIGKILL does not end.

    The place where it sleeps stands behind ", asleep in ", where it is known.
    """
    if Activity._installed:
        Activity._installed.write_hang(what)


def note(what: str, limit_s: float) -> None:
    """Tell the parent, where it reads, what is done now and until the next note."""
    if Activity._installed:
        Activity._installed.write(what, limit_s)


@contextmanager
def doing(what: str, limit_s: float) -> Iterator[None]:
    """Note it for the block; after it what was noted before goes on, with as much time as it had at first."""
    installed = Activity._installed
    if installed is None:
        yield
        return
    before = installed.read()
    installed.write(what, limit_s)
    try:
        yield
    finally:
        installed.write(before.what, before.limit_s)
