"""Provide the kernel's locks: byte ranges by fcntl(2), whole files by flock(2).

They differ in the owner. A POSIX lock belongs to the *process* and the inode: a second descriptor or thread of the
process is the same owner and is granted the lock too; a forked child is another owner and inherits nothing; and closing
*any* descriptor of the file releases every lock that the process has on it, also those acquired through another
descriptor. An open file description lock (F_OFD_SETLKW, Linux 3.15) belongs to the open file: dup(2) and fork(2) share
it, another open(2) is another owner, and only the last close or an unlock releases it. The kernel looks for deadlocks
among POSIX locks (EDEADLK) and not among the others, which then wait for ever. flock(2) is one lock for the whole file,
owned by the open file description; ranges that one worker holds together under it are counted.

The calls are compiled where that was possible, together with the recorders, as one module made of `_native.c`,
`lab/racing/_recorder.c` and `lab/racing/_calls.c`. LAB_PURE=1 in the environment makes Python do every lock call and
record every hold: to compare the two, or to find out which of them has a fault.

Programs of lock calls make them one by one, with whatever numbers they give (`call_range`, `call_whole`). These go to
the C library directly. The `fcntl` module repeats a call that a signal interrupted (PEP 475); code that leaves it by
raising in the handler cannot know whether the lock was granted just before.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Callable
from ctypes import c_uint64
from functools import partial
from struct import Struct

from lab.analysis.holds import Nested
from lab.compiled import PURE, asks_for_python, load_compiled
from lab.errors import checked

from .protocol import Abilities, Action

NATIVE = load_compiled(
    "lab.locking._native", "Call", "FLOCK", "Hold", "Insisting", "LAYOUT", "Rounds", "SLOTS", "Stamps", "add_in_turn"
)
RECORDER = "compiled" if NATIVE else "python"
"""The recorder in use, which every results file names."""


def describe_recorder() -> str:
    """Return in one line which recorder is in use, and why."""
    if NATIVE:
        return f"lock calls and recorder in C; {PURE}=1 in the environment has Python do both"
    if asks_for_python():
        return f"lock calls and recorder in Python, as {PURE} asks"
    return "lock calls and recorder in Python: install again, with a C compiler and Python.h, for those in C"


FLOCK = Struct("hh0qqqi0q")
"""The layout of struct flock where off_t is 64 bits: l_type, l_whence, l_start, l_len, l_pid (fcntl(2))."""

F_OFD_SETLKW = 38
"""The number of fcntl.F_OFD_SETLKW; the constant is missing from builds against old C libraries."""


def _packed(kind: int, start: int, length: int) -> bytes:
    """Pack one struct flock; l_pid stays 0, as open file description locks require (EINVAL otherwise)."""
    return FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


def python_call(descriptor: int, command: int, kind: int, start: int, length: int) -> Action:
    """Return one fcntl(2) call, packed beforehand."""
    return partial(fcntl.fcntl, descriptor, command, _packed(kind, start, length))


CALL = NATIVE.Call if NATIVE else python_call


class _Range:
    """A range lock that is acquired and released through one fcntl command."""

    has_ranges = True
    excludes = True
    nested = Nested.REPLACED
    command: int

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Return two fcntl(2) calls with the command of this lock; each call is retried on EINTR (PEP 475)."""
        kind = fcntl.F_WRLCK if write else fcntl.F_RDLCK
        return (
            CALL(descriptor, self.command, kind, start, length),
            CALL(descriptor, self.command, fcntl.F_UNLCK, start, length),
        )


class Fcntl(_Range):
    """POSIX record locks: POSIX.1-2008 fcntl(), F_SETLKW."""

    name = "fcntl"
    summary = "POSIX record locks (F_SETLKW): byte ranges, owned by the process"
    abilities = Abilities(ranges=True, readers=True, threads=False, fork=True, survives_kill=True)
    command = fcntl.F_SETLKW


class Ofd(_Range):
    """Open file description locks: fcntl(2), F_OFD_SETLKW, Linux 3.15 and newer."""

    name = "ofd"
    summary = "open file description locks (F_OFD_SETLKW): byte ranges, owned by the open file"
    abilities = Abilities(ranges=True, readers=True, threads=True, fork=False, survives_kill=True)
    command = F_OFD_SETLKW


class Nesting:
    """The number of ranges that one open file holds: the first locks, the last unlocks.

    Without the count the first range that is released would release the others. A write range requested inside a read
    range locks once more, to convert. A forked child that requests the lock has counted nothing: the lock itself
    decides whether it is granted beside its parent's. A child that releases what it has inherited releases its parent's
    too, as flock(2) does.
    """

    __slots__ = ("_count", "_exclusive", "_pid")

    def __init__(self) -> None:
        self._count = 0
        self._exclusive = False
        self._pid = os.getpid()

    def around(self, lock: Action, unlock: Action, *, exclusive: bool) -> tuple[Action, Action]:
        """Return the acquire and the release of one range, over these two calls that lock and unlock the whole file."""

        def acquire() -> None:
            if self._pid != os.getpid():
                self._count, self._pid = 0, os.getpid()
            if not self._count or (exclusive and not self._exclusive):
                lock()
                self._exclusive = exclusive
            self._count += 1

        def release() -> None:
            self._count -= 1
            if not self._count:
                unlock()

        return acquire, release


Counted = Callable[[int], tuple[Action, Action]]
"""A function that returns the acquire and the release of one range of one open file, by flock's operation.

Ranges held together are counted.
"""


def python_calls(descriptor: int) -> Counted:
    """Return calls of the fcntl module that `Nesting` counts."""
    nesting, unlock = Nesting(), partial(fcntl.flock, descriptor, fcntl.LOCK_UN)

    def pair(operation: int) -> tuple[Action, Action]:
        exclusive = operation == fcntl.LOCK_EX
        return nesting.around(partial(fcntl.flock, descriptor, operation), unlock, exclusive=exclusive)

    return pair


def native_calls(descriptor: int) -> Counted:
    """Return calls that `_native.c` makes and counts."""
    assert NATIVE  # noqa: S101 - for the type checker
    call, whole = NATIVE.Call, NATIVE.FLOCK
    unlock = call(descriptor, whole, fcntl.LOCK_UN)
    return lambda operation: (call(descriptor, whole, operation, 0, 0, unlock), unlock)


CALLS = native_calls if NATIVE else python_calls


class Flock:
    """flock(2) without ranges: every range that a scenario requests is the whole file.

    Ranges that one worker holds together are counted. A write range requested inside a read range converts the lock,
    which flock(2) does not do atomically.
    """

    name = "flock"
    summary = "flock: the whole file, it has no ranges; owned by the open file"
    has_ranges = False
    excludes = True
    nested = Nested.CONVERTED
    abilities = Abilities(ranges=False, readers=True, threads=True, fork=False, survives_kill=True)

    def __init__(self) -> None:
        self._opened: dict[int, Counted] = {}

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Return flock(2) with LOCK_EX or LOCK_SH, and LOCK_UN once the last range is released."""
        if descriptor not in self._opened:
            self._opened[descriptor] = CALLS(descriptor)
        return self._opened[descriptor](fcntl.LOCK_EX if write else fcntl.LOCK_SH)


def bare_loop(descriptor: int, counter: c_uint64, rounds: int) -> None:
    """Run F_SETLKW on the counter's 8 bytes, add 1, unlock: once for each round, and nothing besides."""
    call, command = fcntl.fcntl, fcntl.F_SETLKW
    lock, unlock = (FLOCK.pack(kind, os.SEEK_SET, 0, 8, 0) for kind in (fcntl.F_WRLCK, fcntl.F_UNLCK))
    for _ in range(rounds):
        call(descriptor, command, lock)
        counter.value += 1
        call(descriptor, command, unlock)


RANGE_COMMANDS = {
    "F_GETLK": fcntl.F_GETLK,
    "F_SETLK": fcntl.F_SETLK,
    "F_SETLKW": fcntl.F_SETLKW,
    "F_OFD_GETLK": F_OFD_SETLKW - 2,
    "F_OFD_SETLK": F_OFD_SETLKW - 1,
    "F_OFD_SETLKW": F_OFD_SETLKW,
    "F_UNKNOWN": 9999,
}
"""The commands of fcntl(2): the three of POSIX, the three of Linux 3.15, and one that no kernel has."""

TYPES = (fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK)
OPERATIONS = (fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN)


_library = ctypes.CDLL(None, use_errno=True)


def call_range(descriptor: int, command: str, kind: int, start: int, length: int, whence: int, pid: int) -> bytes:
    """Make one fcntl(2) lock call, by the name of its command; return struct flock as the kernel returns it.

    The kind is 0 to read, 1 to write, 2 to unlock; any other number, and any whence, goes to the kernel as it is.
    Raises OSError, EINTR too.
    """
    asked = FLOCK.pack(TYPES[kind] if kind in (0, 1, 2) else kind, whence, start, length, pid)
    answer = ctypes.create_string_buffer(asked, FLOCK.size)
    checked(_library.fcntl(descriptor, RANGE_COMMANDS[command], answer))
    return answer.raw


def conflict(answer: bytes) -> tuple[int, int, int, int] | None:
    """Return kind (0 read, 1 write), start, length and process id in an F_GETLK's answer, None where nothing conflicts.

    Raises ValueError for an answer that is not counted from the start of the file (fcntl(2): l_whence is SEEK_SET).
    """
    kind, whence, start, length, pid = FLOCK.unpack(answer)
    if kind == fcntl.F_UNLCK:
        return None
    if whence != os.SEEK_SET:
        raise ValueError(f"l_whence {whence}")
    return TYPES.index(kind), start, length, pid


def call_whole(descriptor: int, kind: int, *, wait: bool) -> None:
    """Make one flock(2) call: kind 0 shared, 1 exclusive, 2 unlock, any other an operation as it is.

    Raises OSError, EINTR too.
    """
    operation = OPERATIONS[kind] if kind in (0, 1, 2) else kind
    checked(_library.flock(descriptor, operation if wait else operation | fcntl.LOCK_NB))
