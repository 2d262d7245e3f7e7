"""The plainest locked loop that CPython has: what the lab's own way to a lock is held against."""

from __future__ import annotations

import fcntl
import os
from ctypes import c_uint64

from .posix import FLOCK


def bare_loop(descriptor: int, counter: c_uint64, rounds: int) -> None:
    """F_SETLKW on the counter's 8 bytes, add 1, unlock: as often as there are rounds, and nothing besides."""
    call, command = fcntl.fcntl, fcntl.F_SETLKW
    lock, unlock = (FLOCK.pack(kind, os.SEEK_SET, 0, 8, 0) for kind in (fcntl.F_WRLCK, fcntl.F_UNLCK))
    for _ in range(rounds):
        call(descriptor, command, lock)
        counter.value += 1
        call(descriptor, command, unlock)
