"""Show the parent what a child does now, on a page of shared memory: also when the child hangs in it.

A call on a mount that has stopped answering may never return, and then the child can report nothing any more. So it
notes before each such call what it does and how long that may take; a note is two stores and no system call. The first
call that had no answer, or process that did not end on SIGKILL, is noted beside that and stays.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from typing import ClassVar, NamedTuple

DEADLINE = struct.Struct("d")
HEADER = struct.Struct("dqH")
"""The header of a note: when it began (time.monotonic), the process, and how many bytes of text follow."""

TOUCH_S = 6.0
"""The time, in seconds, within which a call on a mount that waits for no other process returns.

After that the mount counts as not answering.
"""

LENGTH = struct.Struct("H")
SIZE, HANG_AT = 8192, 4096
"""The size of the page, and the start of its second half, which names what hung first: the text's length, then the
text.
"""

NEVER = float("inf")


class Deed(NamedTuple):
    """The present activity of a process, since when (time.monotonic), and for how many seconds it may last."""

    what: str
    pid: int
    since: float
    limit_s: float


class Activity:
    """The page of shared memory; made before the fork, and `install`ed in the child."""

    _installed: ClassVar[Activity | None] = None

    def __init__(self) -> None:
        self._page = mmap(-1, SIZE)
        DEADLINE.pack_into(self._page, 0, NEVER)

    def install(self) -> None:
        """Make this page the one to which this process writes its notes from now on."""
        Activity._installed = self

    def write(self, what: str, limit_s: float) -> None:
        """Write a note. The deadline comes last, in one store: no reader sees one beside another's text for long."""
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
        """Return the activity that should have ended by now and has not."""
        if DEADLINE.unpack_from(self._page, 0)[0] > time.monotonic():
            return None
        deed = self.read()
        return deed if deed.since + deed.limit_s <= time.monotonic() else None

    def write_hang(self, what: str) -> None:
        """Note what hung, where no other note of that kind exists. The length comes last."""
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
    """Note for the parent a call without an answer, or a process that SIGKILL does not end.

    The place where it sleeps is added after ", asleep in ", where it is known.
    """
    if Activity._installed:
        Activity._installed.write_hang(what)


def note(what: str, limit_s: float) -> None:
    """Note for the parent what is done from now until the next note."""
    if Activity._installed:
        Activity._installed.write(what, limit_s)


@contextmanager
def doing(what: str, limit_s: float) -> Iterator[None]:
    """Note it for the block; after it the note before is valid again, with as much time as it had at first."""
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
