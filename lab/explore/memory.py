"""The scenario's memory with a step before every load and store: proxies made from the struct's own `_fields_`.

The explorer lays them over simulated bytes, the replay over the mapped file; what differs is the `Step` that they
call. A value within one line (see `operation.LINE`) is one step; a longer one is a step a line, in the order of the
addresses, and the value is put together from what each of them met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ctypes import Array, Structure, Union, _SimpleCData, sizeof
from functools import cache
from typing import Any

from lab.errors import CannotRunError

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


def stepped(kind: type[Structure], place: Place, start: int = 0) -> Any:
    """The struct or union at this byte of the place; loads and stores through it are steps."""
    return _proxy(kind)(kind, place, start)


@cache
def _proxy(kind: type[Structure]) -> type:
    """A class with one property a field, and the methods that the scenario's author gave the struct."""
    names = [name for name, *_ in kind._fields_]
    for name, _, *bits in kind._fields_:
        if bits:
            raise CannotRunError(f"{kind.__name__}.{name}: a bit field cannot be explored; give it a whole integer")
    values = [(getattr(kind, name).offset, value) for name, value, *_ in kind._fields_]

    def lay(self: Any, kind: type[Structure], place: Place, start: int) -> None:
        self._struct = kind.from_buffer(place.buffer, start)
        self._place = place
        self._step = place.step
        self._start = start
        self._loads, self._stores = (
            [None if _is_part(value) else _only(place, access, start + at, sizeof(value)) for at, value in values]
            for access in (LOAD, STORE)
        )
        self._parts = {}

    fields = {
        name: _whole(name, value, offset) if _is_part(value) else _plain(number, name, value, offset)
        for number, (name, (offset, value)) in enumerate(zip(names, values, strict=True))
    }
    own = {name: member for name, member in vars(kind).items() if callable(member) or isinstance(member, property)}
    return type(f"Stepped{kind.__name__}", (), {"__init__": lay, **own, **fields})


def _is_part(kind: Any) -> bool:
    """True for structs, unions and arrays; arrays of characters are plain values, as ctypes has them."""
    return issubclass(kind, Structure | Union) or (issubclass(kind, Array) and not _is_text(kind))


def _is_text(kind: Any) -> bool:
    return issubclass(kind, Array) and issubclass(kind._type_, _SimpleCData) and kind._type_._type_ in "cu"


def _plain(number: int, name: str, kind: Any, offset: int) -> property:
    """A field that is loaded and stored as one Python value."""
    size = sizeof(kind)

    def load(self: Any) -> Any:
        operation = self._loads[number]
        if operation is None:
            return kind.from_buffer_copy(self._place.load(self._start + offset, size)).value
        self._step(operation)
        return getattr(self._struct, name)

    def store(self: Any, value: Any) -> None:
        operation = self._stores[number]
        if operation is None:
            made = kind()
            made.value = value
            self._place.store(self._start + offset, bytes(made))
        else:
            self._step(operation)
            setattr(self._struct, name, value)

    return property(load, store)


def _only(place: Place, kind: int, start: int, size: int) -> Operation | None:
    """The one step of this access, or None where it takes several."""
    operations = place.operations(kind, start, size)
    return operations[0] if len(operations) == 1 else None


def _whole(name: str, kind: Any, offset: int) -> property:
    """A field that is a struct or an array: looking at it is no step, storing it is a copy."""

    def look(self: Any) -> Any:
        try:
            return self._parts[name]
        except KeyError:
            made = self._parts[name] = _part(kind, self._place, self._start + offset)
            return made

    def store(self: Any, value: Any) -> None:
        self._place.store(self._start + offset, _encoded(kind, value))

    return property(look, store)


def _part(kind: Any, place: Place, start: int) -> Any:
    return SteppedArray(kind, place, start) if issubclass(kind, Array) else stepped(kind, place, start)


def _encoded(kind: Any, value: Any) -> bytes:
    return bytes(value if isinstance(value, kind) else kind(*value))


class SteppedArray:
    """An array field; an element is loaded and stored as a field is, a slice piece by piece."""

    __slots__ = ("_array", "_each", "_element", "_length", "_parts", "_place", "_start", "_step")

    def __init__(self, kind: Any, place: Place, start: int) -> None:
        self._array = kind.from_buffer(place.buffer, start)
        self._element = kind._type_
        self._length = kind._length_
        self._each = sizeof(kind._type_)
        self._place = place
        self._step = place.step
        self._start = start
        self._parts: dict[Any, Any] = {}

    def __len__(self) -> int:
        return int(self._length)

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(self._length))

    def __bytes__(self) -> bytes:
        return self._place.load(self._start, self._each * self._length)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            first, last = self._contiguous(index)
            data = self._place.load(self._start + first * self._each, (last - first) * self._each)
            return (self._element * (last - first)).from_buffer_copy(data)[:]
        index = self._checked(index)
        start = self._start + index * self._each
        if _is_part(self._element):
            if index not in self._parts:
                self._parts[index] = _part(self._element, self._place, start)
            return self._parts[index]
        operation = self._operation(index, LOAD, start)
        if operation is None:
            return self._element.from_buffer_copy(self._place.load(start, self._each)).value
        self._step(operation)
        return self._array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            first, last = self._contiguous(index)
            data = (self._element * (last - first))(*value)
            self._place.store(self._start + first * self._each, bytes(data))
            return
        index = self._checked(index)
        start = self._start + index * self._each
        operation = None if _is_part(self._element) else self._operation(index, STORE, start)
        if operation is None:
            made = self._element(value) if not _is_part(self._element) else value
            self._place.store(start, _encoded(self._element, made))
        else:
            self._step(operation)
            self._array[index] = value

    def _operation(self, index: int, kind: int, start: int) -> Operation | None:
        try:
            operation: Operation | None = self._parts[index, kind]
        except KeyError:
            operation = self._parts[index, kind] = _only(self._place, kind, start, self._each)
        return operation

    def _checked(self, index: Any) -> int:
        at: int = index.__index__()
        at += self._length if at < 0 else 0
        if not 0 <= at < self._length:
            raise IndexError("invalid index")  # as ctypes says it
        return at

    def _contiguous(self, wanted: slice) -> tuple[int, int]:
        first, last, stride = wanted.indices(self._length)
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

    def __getitem__(self, where: Any) -> Any:
        if not isinstance(where, slice):
            return self[where : where + 1 or None][0]
        first, last, _ = where.indices(self._length)
        return self._place.load(self._start + first, max(0, last - first))

    def __setitem__(self, where: Any, data: Any) -> None:
        if not isinstance(where, slice):
            where, data = slice(where, where + 1 or None), bytes([data])
        first, last, _ = where.indices(self._length)
        content = bytes(data)
        if len(content) != max(0, last - first):
            raise ValueError("memoryview assignment: lvalue and rvalue have different structures")
        self._place.store(self._start + first, content)
