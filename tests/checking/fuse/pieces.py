"""Ranges that are locked, and struct flock, in which the kernel is asked for them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

FLOCK = Struct("hh0qqqi0q")
"""struct flock (fcntl(2))."""

F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
"""Missing from the fcntl module where Python was built against an old C library."""

END = 1 << 63
"""One past the last byte a lock can have; a length of 0 means up to here."""


class Piece(NamedTuple):
    """A range that is locked, by which process and through which handle; `end` is one past its last byte."""

    kind: int
    start: int
    end: int
    pid: int = 0
    handle: int = -1


def without(pieces: Iterable[Piece], start: int, end: int) -> Iterator[Piece]:
    """What is left of the pieces outside the range."""
    for piece in pieces:
        if piece.start < min(piece.end, start):
            yield piece._replace(end=min(piece.end, start))
        if max(piece.start, end) < piece.end:
            yield piece._replace(start=max(piece.start, end))


def packed(piece: Piece) -> bytes:
    """The struct flock that asks for it."""
    length = 0 if piece.end == END else piece.end - piece.start
    return FLOCK.pack(piece.kind, os.SEEK_SET, piece.start, length, 0)


def unpacked(answer: bytes) -> Piece | None:
    """The lock that F_GETLK has found, which has no process; None where it has found none."""
    kind, _, start, length, _ = FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else Piece(kind, start, start + length if length else END)
