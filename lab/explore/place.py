"""Bytes of the shared memory as one worker sees them, with a step before every access to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .operation import LOAD, STORE, Operation, pieces

Step = Callable[[Operation], object]
"""Called before each load and store with what it is about to do; returns once it may."""


class Place:
    """Bytes of the shared memory as one worker sees them: the buffer, the line, and the step before each access."""

    __slots__ = ("_made", "buffer", "line", "step")

    def __init__(self, buffer: Any, line: int, step: Step) -> None:
        self.buffer = memoryview(buffer)
        self.line = line
        self.step = step
        self._made: dict[tuple[int, int, int], list[Operation]] = {}

    def operations(self, kind: int, start: int, length: int) -> list[Operation]:
        """The steps of one access, made when it is first asked for."""
        key = kind, start, length
        if key not in self._made:
            self._made[key] = [
                Operation(kind, at, size, write=kind == STORE) for at, size in pieces(start, length, self.line)
            ]
        return self._made[key]

    def load(self, start: int, length: int) -> bytes:
        """The bytes, piece by piece."""
        found = []
        for operation in self.operations(LOAD, start, length):
            self.step(operation)
            found.append(bytes(self.buffer[operation.start : operation.end]))
        return b"".join(found)

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Put the bytes there, piece by piece."""
        for operation in self.operations(STORE, start, len(data)):
            self.step(operation)
            self.buffer[operation.start : operation.end] = data[operation.start - start : operation.end - start]
