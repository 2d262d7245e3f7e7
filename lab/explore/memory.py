"""The scenario's memory with a step before every load and store: proxies made from the struct's own `_fields_`.

The explorer lays them over the bytes of one worker's run, the replay over the mapped file; what differs is the `Step`
that they call. A number is one step; a text, a struct or a slice is copied, a step a move (see `moves`), and the value
is put together from what each of them met. What a value is, and which values a field takes, ctypes itself decides, on
an image of the struct that nobody else sees.

Bytes of the file by the names of the scenario's fields, and values as people read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import Array, Structure, Union, _SimpleCData, sizeof
from functools import cache
from operator import index as whole_number
from typing import Any, NamedTuple

from lab.analysis.holds import END
from lab.errors import CannotRunError

from .operation import Place


def stepped(kind: type[Structure], place: Place, start: int = 0) -> Any:
    """The struct or union at this byte of the place; loads and stores through it are steps."""
    return _proxy(kind)(kind, place, start)


class Stepped:
    """A struct, union or array at one place. `_lab_image` is a private one over `_lab_bytes`: ctypes converts with it.

    The names leave room for the scenario's fields.
    """

    __slots__ = ("_lab_bytes", "_lab_image", "_lab_kind", "_lab_parts", "_lab_place", "_lab_start")

    def __init__(self, kind: Any, place: Place, start: int) -> None:
        self._lab_kind = kind
        self._lab_place = place
        self._lab_start = start
        self._lab_bytes = bytearray(sizeof(kind))
        self._lab_image = kind.from_buffer(self._lab_bytes)
        self._lab_parts: dict[Any, Any] = {}

    def __bytes__(self) -> bytes:
        return self._lab_place.load(self._lab_start, len(self._lab_bytes))

    def _lab_fetch(self, offset: int, size: int, *, plain: bool) -> None:
        """Load a range, as it is, into the image."""
        self._lab_bytes[offset : offset + size] = self._lab_place.load(self._lab_start + offset, size, plain=plain)

    def _lab_lay_out(self, offset: int, size: int) -> None:
        """Put into the image what lies there; no step, for it is only to be stored over."""
        at = self._lab_start + offset
        self._lab_bytes[offset : offset + size] = self._lab_place.buffer[at : at + size]

    def _lab_put(self, offset: int, size: int, *, plain: bool) -> None:
        """Store a range of the image."""
        data = bytes(self._lab_bytes[offset : offset + size])
        self._lab_place.store(self._lab_start + offset, data, plain=plain)

    def _lab_part(self, key: Any, kind: Any, offset: int) -> Any:
        """The struct or array inside; looking at it is no step."""
        if key not in self._lab_parts:
            at = self._lab_start + offset
            self._lab_parts[key] = _laid(kind, self._lab_place, at)
        return self._lab_parts[key]


@cache
def _proxy(kind: type[Structure]) -> type[Stepped]:
    """A class with one property a field, and the methods that the scenario's author gave the struct."""
    fields = {name: _field(name, value, getattr(kind, name).offset) for name, value in fields_of(kind)}
    lines = [base for base in reversed(kind.__mro__) if hasattr(base, "_fields_")]
    own = {
        name: member
        for base in lines
        for name, member in vars(base).items()
        if callable(member) or isinstance(member, property)
    }
    return type(f"Stepped{kind.__name__}", (Stepped,), {**own, **fields})


def fields_of(kind: Any) -> Iterator[tuple[str, Any]]:
    """Names and types of all fields, those of structs that it extends and of anonymous parts too.

    Raises CannotRunError for a bit field.
    """
    for base in reversed(kind.__mro__):
        anonymous = vars(base).get("_anonymous_", ())
        for name, value, *bits in vars(base).get("_fields_", ()):
            if bits:
                raise CannotRunError(f"{kind.__name__}.{name}: a bit field cannot be explored; give it a whole integer")
            _check_plain(f"{kind.__name__}.{name}", value)
            yield name, value
            if name in anonymous:
                yield from fields_of(value)


def _check_plain(name: str, kind: Any) -> None:
    """Raises CannotRunError for what ctypes gives out as an object of its own, to be changed without a step."""
    while issubclass(kind, Array):
        kind = kind._type_
    if issubclass(kind, _SimpleCData) and _SimpleCData not in kind.__bases__:
        raise CannotRunError(f"{name}: a subclass of {kind.__bases__[0].__name__} cannot be explored; name that itself")


def _field(name: str, kind: Any, offset: int) -> property:
    size, plain = sizeof(kind), _is_plain(kind)

    def load(self: Stepped) -> Any:
        if _is_part(kind):
            return self._lab_part(name, kind, offset)
        self._lab_fetch(offset, size, plain=plain)
        return getattr(self._lab_image, name)

    def store(self: Stepped, value: Any) -> None:
        self._lab_lay_out(offset, size)
        setattr(self._lab_image, name, _plain(value))
        self._lab_put(offset, _stored(kind, value), plain=plain)

    return property(load, store)


def _is_part(kind: Any) -> bool:
    """True for structs, unions and arrays; arrays of characters are plain values, as ctypes has them."""
    return issubclass(kind, Structure | Union) or (issubclass(kind, Array) and not _is_text(kind))


def _is_plain(kind: Any) -> bool:
    """True for what ctypes moves as one value, where it copies a text, an array or a struct."""
    return issubclass(kind, _SimpleCData)


def _is_text(kind: Any) -> bool:
    return issubclass(kind, Array) and issubclass(kind._type_, _SimpleCData) and kind._type_._type_ in "cu"


def _stored(kind: Any, value: Any) -> int:
    """How many bytes a store writes: of a text as many as it is long, and one zero where there is room."""
    size = sizeof(kind)
    return min(size, (len(value) + 1) * sizeof(kind._type_)) if _is_text(kind) else size


def _plain(value: Any) -> Any:
    """The value for ctypes; a struct or array of the memory is loaded."""
    return value._lab_kind.from_buffer_copy(bytes(value)) if isinstance(value, Stepped) else value


def _laid(kind: Any, place: Place, start: int) -> Any:
    if issubclass(kind, Array):
        return (SteppedText if _is_text(kind) else SteppedArray)(kind, place, start)
    return stepped(kind, place, start)


class SteppedArray(Stepped):
    """An array field; an element is loaded and stored as a field is, a slice piece by piece."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._lab_image)

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            for at in self._elements(index):
                self._lab_fetch(*at, plain=_is_plain(self._lab_kind._type_))
            return self._lab_image[index]
        offset, size = self._extent(index)
        element = self._lab_kind._type_
        if issubclass(element, Array | Structure | Union):
            return self._lab_part(offset, element, offset)
        self._lab_fetch(offset, size, plain=_is_plain(element))
        return self._lab_image[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        places = self._elements(index) if isinstance(index, slice) else [self._extent(index)]
        for at in places:
            self._lab_lay_out(*at)
        self._lab_image[index] = _plain(value)
        for offset, size in places:
            stored = size if isinstance(index, slice) else _stored(self._lab_kind._type_, value)
            self._lab_put(offset, stored, plain=_is_plain(self._lab_kind._type_))

    def _elements(self, index: slice) -> list[tuple[int, int]]:
        """Each element of a slice: ctypes copies them one after the other."""
        return [self._extent(at) for at in range(len(self))[index]]

    def _extent(self, index: Any) -> tuple[int, int]:
        """Offset and size in bytes of an element. Raises as ctypes does."""
        each = sizeof(self._lab_kind._type_)
        at = whole_number(index)
        at += len(self) if at < 0 else 0
        if not 0 <= at < len(self):
            raise IndexError("invalid index")
        return at * each, each


class SteppedText(SteppedArray):
    """An element of an array of texts: its `value` and `raw` are loaded and stored."""

    __slots__ = ()

    @property
    def value(self) -> Any:
        """The text, up to the first zero."""
        self._lab_fetch(0, len(self._lab_bytes), plain=False)
        return self._lab_image.value

    @value.setter
    def value(self, value: Any) -> None:
        self._lab_lay_out(0, len(self._lab_bytes))
        self._lab_image.value = value
        self._lab_put(0, _stored(self._lab_kind, value), plain=False)

    @property
    def raw(self) -> bytes:
        """All bytes."""
        return bytes(self)


Value = int | float | str | None

SHOWN_BYTES = 8
"""Of a run of different bytes, as many as are shown."""


class Named(NamedTuple):
    """A range of bytes: its name, and the type of the one value that it is, if it is one."""

    name: str
    kind: Any


@cache
def named(memory: type[Structure], start: int, end: int) -> Named:
    """The smallest part of the struct that has all these bytes: value, balances[2], record[64:128], a to b."""
    if end >= END or (start == 0 and end == sizeof(memory) and len(list(fields_of(memory))) > 1):
        return Named("the file", None)
    return _within(memory, "", 0, start, end)


def _within(kind: Any, name: str, base: int, start: int, end: int) -> Named:
    if issubclass(kind, Structure | Union):
        return _in_struct(kind, name, base, start, end)
    if issubclass(kind, Array):
        return _in_array(kind, name, base, start, end)
    return (
        Named(name, kind)
        if end - start == sizeof(kind)
        else Named(f"{name} bytes {start - base}-{end - base - 1}", None)
    )


def _in_struct(kind: Any, name: str, base: int, start: int, end: int) -> Named:
    dot = f"{name}." if name else ""
    touched = []
    for field, value in fields_of(kind):
        low = base + getattr(kind, field).offset
        high = low + sizeof(value)
        if low <= start and end <= high:
            return _within(value, dot + field, low, start, end)
        if low < end and start < high:
            touched.append(dot + field)
    return Named(f"{touched[0]} to {touched[-1]}" if touched else f"bytes {start}-{end - 1}", None)


def _in_array(kind: Any, name: str, base: int, start: int, end: int) -> Named:
    each = sizeof(kind._type_)
    first, last = (start - base) // each, -(-(end - base) // each)
    if last - first == 1 and each > 1:
        return _within(kind._type_, f"{name}[{first}]", base + first * each, start, end)
    if last - first == 1:
        return Named(f"{name}[{first}]", kind._type_ if issubclass(kind._type_, _SimpleCData) else None)
    return Named(name if last - first == kind._length_ else f"{name}[{first}:{last}]", None)


def value_of(kind: Any, data: bytes) -> Value:
    """A number where the bytes are one value, else hexadecimal digits."""
    if kind is not None:
        value = kind.from_buffer_copy(data).value
        if isinstance(value, int | float):
            return value
    return data.hex()


def shown(value: Value) -> str:
    """A value in a table: numbers as they are, long runs of one byte as that byte and how many."""
    if not isinstance(value, str):
        return f"{value}"
    data = bytes.fromhex(value)
    if len(data) > SHOWN_BYTES and data.count(data[0]) == len(data):
        return f"{len(data):,} x {data[0]:02x}"
    rest = f".. ({len(data):,} bytes)" if len(data) > SHOWN_BYTES else ""
    return data[:SHOWN_BYTES].hex(" ") + rest
