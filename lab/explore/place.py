"""Bytes of the shared memory as one worker sees them, with a step before every access to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .moves import moves
from .operation import LOAD, STORE, Operation

Step = Callable[[Operation], object]
"""Called before each load and store with what it is about to do; returns once it may."""


class Place:
    """Bytes of the shared memory as one worker sees them: the buffer, the widest move, and the step before each."""

    __slots__ = ("_made", "buffer", "line", "step")

    def __init__(self, buffer: Any, line: int, step: Step) -> None:
        self.buffer = memoryview(buffer)
        self.line = line
        self.step = step
        self._made: dict[tuple[int, int, int, bool], list[Operation]] = {}

    def operations(self, kind: int, start: int, length: int, *, plain: bool = False) -> list[Operation]:
        """The steps of one access, made when it is first asked for; a `plain` value is one move (see `moves`)."""
        key = kind, start, length, plain
        if key not in self._made:
            self._made[key] = [
                Operation(kind, at, size, write=kind == STORE)
                for at, size in moves(kind, start, length, self.line, plain=plain)
            ]
        return self._made[key]

    def load(self, start: int, length: int, *, plain: bool = False) -> bytes:
        """The bytes, move by move."""
        found = bytearray(length)
        for operation in self.operations(LOAD, start, length, plain=plain):
            self.step(operation)
            found[operation.start - start : operation.end - start] = self.buffer[operation.start : operation.end]
        return bytes(found)

    def store(self, start: int, data: bytes | memoryview, *, plain: bool = False) -> None:
        """Put the bytes there, move by move."""
        for operation in self.operations(STORE, start, len(data), plain=plain):
            self.step(operation)
            self.buffer[operation.start : operation.end] = data[operation.start - start : operation.end - start]
