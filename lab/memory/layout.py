"""Bytes that are reached by loads and stores instead of through a buffer, seen as a memoryview is.

Where the fields of a scenario's memory lie: byte ranges by field, element and count.
"""

from __future__ import annotations

from ctypes import Structure, sizeof
from operator import index as whole_number
from typing import Any, NamedTuple, Protocol

from lab.errors import ScenarioError


class Place(Protocol):
    """Bytes that are loaded and stored by a call; an open file of a backing is one, the explorer's memory another."""

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


class _Field(NamedTuple):
    name: str
    offset: int
    size: int
    elements: int


class Layout:
    """The fields of a struct by their descriptors: `Memory.value` gives offset and size, its name is looked up here."""

    def __init__(self, memory: type[Structure]) -> None:
        self.size = sizeof(memory)
        self._name = memory.__qualname__
        self._fields: dict[Any, _Field] = {}
        for name, kind, *_ in memory._fields_:
            descriptor = getattr(memory, name)
            elements = getattr(kind, "_length_", 0) if isinstance(kind, type) else 0
            self._fields[descriptor] = _Field(name, descriptor.offset, sizeof(kind), elements)

    def extent(self, field: Any, index: int | None = None, count: int = 1) -> tuple[int, int]:
        """Start and length in bytes of a field or of `count` of its elements; (0, 0), to infinity, for no field.

        Raises ScenarioError for a field of another struct, an index into a field that is no array, and
        elements beyond its end.
        """
        if field is None:
            return 0, 0
        try:
            name, offset, size, elements = self._fields[field]
        except (KeyError, TypeError):
            raise ScenarioError(f"{field!r} is no field of {self._name}; name it as self.Memory.field") from None
        if index is None:
            return offset, size
        if not elements:
            raise ScenarioError(f"{name}[{index}]: {name} is no array; leave the index out")
        if index < 0 or count < 1 or index + count > elements:
            which = f"{name}[{index}]" if count == 1 else f"{name}[{index}:{index + count}]"
            raise ScenarioError(f"{which} is beyond the file: {name} has {elements} elements")
        each = size // elements
        return offset + index * each, count * each
