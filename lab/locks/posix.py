"""Byte-range locks of fcntl(2): POSIX record locks and open file description locks.

Who owns a lock is the whole difference. A POSIX lock belongs to the *process* and the inode: a second
descriptor or a second thread is the same owner and is let in; a fork is another owner and inherits nothing;
and because the owner is no descriptor, closing *any* descriptor of the file gives up every lock that the
process has on it, also those taken through another descriptor by code that knows nothing of the closer.
An open file description lock (F_OFD_SETLKW, Linux 3.15) belongs to the open file: dup(2) and fork(2) share
it, an own open(2) is another owner, and only the last close or an unlock gives it up. The kernel looks for
deadlocks among POSIX locks (EDEADLK) and not among the others, which then wait for ever.
"""

from __future__ import annotations

import fcntl
import os
from functools import partial
from struct import Struct

from lab.model.nested import Nested

from .native import NATIVE
from .protocol import Abilities, Action

FLOCK = Struct("hh0qqqi0q")
"""struct flock where off_t is 64 bits: l_type, l_whence, l_start, l_len, l_pid (fcntl(2))."""

F_OFD_SETLKW = 38
"""fcntl.F_OFD_SETLKW; the constant is missing from builds against old C libraries."""


def _packed(kind: int, start: int, length: int) -> bytes:
    """One struct flock; l_pid stays 0, as open file description locks demand (EINVAL otherwise)."""
    return FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


def python_call(descriptor: int, command: int, kind: int, start: int, length: int) -> Action:
    """One fcntl(2) call, packed beforehand."""
    return partial(fcntl.fcntl, descriptor, command, _packed(kind, start, length))


CALL = NATIVE.Call if NATIVE else python_call


class _Range:
    """A range lock that is taken and given back through one fcntl command."""

    has_ranges = True
    excludes = True
    nested = Nested.REPLACED
    command: int

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """fcntl(2) with the command of this lock; each call is retried on EINTR (PEP 475)."""
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
