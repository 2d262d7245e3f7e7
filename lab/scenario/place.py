"""Bytes that are reached by loads and stores instead of through a buffer, seen as a memoryview is."""

from __future__ import annotations

from operator import index as whole_number
from typing import Any, Protocol


class Place(Protocol):
    """Bytes that are loaded and stored by a call; an open file of a region is one, the explorer's memory another."""

    def load(self, start: int, length: int) -> bytes:
        """The bytes as they are now."""

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Put these bytes there."""


def contiguous(wanted: slice, length: int) -> tuple[int, int]:
    """First and one past the last of a slice. Raises ValueError for a stride."""
    first, last, stride = wanted.indices(length)
    if stride != 1:
        raise ValueError("slices of shared memory have a step of 1")
    return first, max(first, last)


class PlaceBytes:
    """A run of bytes of a place: a slice of it is one load or one store there."""

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
        return bytes(self) == (bytes(other) if isinstance(other, PlaceBytes) else other)

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
