"""Bytes of the shared memory as one worker sees them, with a step before every access to them."""

from __future__ import annotations

from collections.abc import Callable
from operator import index as whole_number
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

    def store(self, start: int, data: bytes) -> None:
        """Put the bytes there, piece by piece."""
        for operation in self.operations(STORE, start, len(data)):
            self.step(operation)
            self.buffer[operation.start : operation.end] = data[operation.start - start : operation.end - start]


def contiguous(wanted: slice, length: int) -> tuple[int, int]:
    """First and one past the last of a slice. Raises ValueError for a stride."""
    first, last, stride = wanted.indices(length)
    if stride != 1:
        raise ValueError("slices of shared memory have a step of 1")
    return first, max(first, last)


class SteppedBytes:
    """A run of bytes: a slice is loaded and stored a line a step."""

    __slots__ = ("_length", "_place", "_start")

    def __init__(self, place: Place, start: int, length: int) -> None:
        self._place = place
        self._start = start
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        return self._place.load(self._start, self._length)

    tobytes = __bytes__

    def __eq__(self, other: object) -> bool:
        return bytes(self) == (bytes(other) if isinstance(other, SteppedBytes) else other)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, where: Any) -> Any:
        if not isinstance(where, slice):
            return self[self._one(where)][0]
        first, last = contiguous(where, self._length)
        return self._place.load(self._start + first, last - first)

    def __setitem__(self, where: Any, data: Any) -> None:
        if not isinstance(where, slice):
            where, data = self._one(where), bytes([data])
        first, last = contiguous(where, self._length)
        content = bytes(data)
        if len(content) != last - first:
            raise ValueError("memoryview assignment: lvalue and rvalue have different structures")
        self._place.store(self._start + first, content)

    def _one(self, index: Any) -> slice:
        at = whole_number(index)
        at += self._length if at < 0 else 0
        if not 0 <= at < self._length:
            raise IndexError("index out of bounds on dimension 1")
        return slice(at, at + 1)
