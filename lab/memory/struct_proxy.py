"""Replace a scenario's ctypes struct by objects that behave as it does, where each load and store is a call.

The race lays them over backings that are not mapped, over a mapping with `--window` or `--record`; explore and replay
lay them over memory with a step before every access. The scenario's text stays as it is: `memory.value += 1` is one
load and one store. ctypes itself converts the values, on a private image of the struct: a load copies the bytes into
the image first, a store copies them from there.

Every field and every element is one load or one store, a slice of an array one an element, as ctypes copies it. A text
is stored up to its first zero, a bit field by loading and storing the bytes that it shares with its neighbours.
`Layout` finds the byte range of a field, of an element and of several.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import Array, Structure, Union, _SimpleCData, sizeof
from functools import cache
from operator import index as whole_number
from typing import Any, NamedTuple, Protocol

from lab.errors import CannotRunError, ScenarioError

POINTERS = "zZO"
"""The codes of simple ctypes types whose bytes are an address: c_char_p, c_wchar_p, py_object."""


class Field(NamedTuple):
    """A field of a struct or union; `bits` is its width where it is a bit field, else 0."""

    name: str
    kind: Any
    offset: int
    bits: int = 0


def fields_of(kind: Any, *, parts: bool = True) -> Iterator[Field]:
    """Return all fields in order, also of base structs; with `parts` those inside anonymous parts too."""
    for base in reversed(kind.__mro__):
        for name, inner, *bits in vars(base).get("_fields_", ()):
            yield Field(name, inner, getattr(kind, name).offset, *bits)
            if parts and name in vars(base).get("_anonymous_", ()):
                yield from (each._replace(offset=getattr(kind, each.name).offset) for each in fields_of(inner))


def _check(name: str, kind: Any) -> None:
    """Raise CannotRunError for pointers, and for bit fields of a union, which CPython 3.11 may lay outside of it."""
    while issubclass(kind, Array):
        kind = kind._type_
    if issubclass(kind, Structure | Union):
        for field in fields_of(kind, parts=False):
            if not 0 <= field.offset <= sizeof(kind) - sizeof(field.kind):
                raise CannotRunError(
                    f"{kind.__name__}.{field.name}: lies outside of its struct; name it as no bit field"
                )
            _check(f"{kind.__name__}.{field.name}", field.kind)
    elif not issubclass(kind, _SimpleCData) or kind._type_ in POINTERS:
        raise CannotRunError(
            f"{name}: {kind.__name__} is a pointer, which leads nowhere in another process; name a number or a text"
        )


class Layout:
    """The fields of a struct by their descriptors: `Memory.value` gives offset and size, its name is looked up here.

    Raises CannotRunError for a struct that processes cannot share.
    """

    def __init__(self, memory: type[Structure]) -> None:
        _check(memory.__name__, memory)
        self.size = sizeof(memory)
        self._name = memory.__qualname__
        self._fields = {getattr(memory, field.name): field for field in fields_of(memory)}

    def extent(self, field: Any, index: int | None = None, count: int = 1) -> tuple[int, int]:
        """Return start and length in bytes of a field or of `count` of its elements; (0, 0), to infinity, for no field.

        Raises ScenarioError for a field of another struct, an index into a field that is no array, and
        elements beyond its end.
        """
        if field is None:
            return 0, 0
        try:
            name, kind, offset, _ = self._fields[field]
        except (KeyError, TypeError):
            raise ScenarioError(f"{field!r} is no field of {self._name}; name it as self.Memory.field") from None
        size, elements = sizeof(kind), getattr(kind, "_length_", 0)
        if index is None:
            return offset, size
        if not elements:
            raise ScenarioError(f"{name}[{index}]: {name} is no array; leave the index out")
        if index < 0 or count < 1 or index + count > elements:
            which = f"{name}[{index}]" if count == 1 else f"{name}[{index}:{index + count}]"
            raise ScenarioError(f"{which} is beyond the file: {name} has {elements} elements")
        each = size // elements
        return offset + index * each, count * each


class ByteAccess(Protocol):
    """Bytes that are loaded and stored by a call: an open file of a backing, or the memory of explore."""

    def load(self, start: int, length: int) -> bytes:
        """Return the bytes as they are now."""

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Store these bytes."""


class BytesProxy:
    """A run of bytes, used as a memoryview is: a slice of it is one load or one store."""

    __slots__ = ("_access", "_length", "_start")

    def __init__(self, access: ByteAccess, start: int, length: int) -> None:
        self._access = access
        self._start = start
        self._length = length

    @property
    def place(self) -> tuple[int, int]:
        """Return its first byte and its length."""
        return self._start, self._length

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        return self._access.load(self._start, self._length)

    tobytes = __bytes__

    def __eq__(self, other: object) -> bool:
        return bytes(self) == (bytes(other) if isinstance(other, BytesProxy) else other)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, where: Any) -> Any:
        first, last = self._range(where)
        loaded = self._access.load(self._start + first, last - first)
        return loaded if isinstance(where, slice) else loaded[0]

    def __setitem__(self, where: Any, data: Any) -> None:
        first, last = self._range(where)
        content = bytes(
            [data] if isinstance(where, int) else data if isinstance(data, BytesProxy) else memoryview(data)
        )
        if len(content) != last - first:
            raise ValueError("memoryview assignment: lvalue and rvalue have different structures")
        self._access.store(self._start + first, content)

    def _range(self, where: Any) -> tuple[int, int]:
        """Return the first byte of a slice or an index, and the one behind its last."""
        if isinstance(where, slice):
            first, last, stride = where.indices(self._length)
            if stride != 1:
                raise ValueError("slices of shared memory have a step of 1")
            return first, max(first, last)
        at = whole_number(where)
        at += self._length if at < 0 else 0
        if not 0 <= at < self._length:
            raise IndexError("index out of bounds on dimension 1")
        return at, at + 1


def struct_proxy(kind: type[Structure], copies: ByteAccess, numbers: ByteAccess | None = None) -> Any:
    """Lay the struct over these bytes.

    Numbers go through `numbers`, where explore moves them at once; texts, structs and arrays through `copies`.
    """
    return _class_of(kind)(kind, copies, numbers or copies, 0)


class _Proxy:
    """A struct, union, array or number that begins at `start`. The names leave room for the scenario's fields."""

    __slots__ = ("_lab_content", "_lab_copies", "_lab_image", "_lab_numbers", "_lab_parts", "_lab_start")

    def __init__(self, kind: Any, copies: ByteAccess, numbers: ByteAccess, start: int) -> None:
        self._lab_copies = copies
        self._lab_numbers = numbers
        self._lab_start = start
        self._lab_content = bytearray(sizeof(kind))
        self._lab_image = kind.from_buffer(self._lab_content)
        self._lab_parts: dict[Any, Any] = {}

    def __bytes__(self) -> bytes:
        access = self._lab_numbers if isinstance(self._lab_image, _SimpleCData) else self._lab_copies
        return access.load(self._lab_start, len(self._lab_content))

    def _lab_load(self, offset: int, size: int, *, number: bool) -> None:
        """Load a value into the image."""
        access = self._lab_numbers if number else self._lab_copies
        self._lab_content[offset : offset + size] = access.load(self._lab_start + offset, size)

    def _lab_store(self, offset: int, size: int, *, number: bool) -> None:
        """Store so many bytes of the image."""
        access = self._lab_numbers if number else self._lab_copies
        access.store(self._lab_start + offset, bytes(self._lab_content[offset : offset + size]))

    def _lab_part(self, key: Any, kind: Any, offset: int) -> Any:
        """Return the object of a part, made once; this loads nothing."""
        if key not in self._lab_parts:
            made = _class_of(kind)(kind, self._lab_copies, self._lab_numbers, self._lab_start + offset)
            self._lab_parts[key] = made
        return self._lab_parts[key]


def proxy_start(value: object) -> int | None:
    """Return the first byte of a proxy, None for anything else."""
    return value._lab_start if isinstance(value, _Proxy) else None


def has_attributes(proxy: Any) -> bool:
    """Return True where the scenario has given the proxy, or a part of it, attributes beside its fields."""
    return bool(vars(proxy)) or any(map(has_attributes, proxy._lab_parts.values()))


def drop_attributes(proxy: Any) -> None:
    """Remove what `has_attributes` finds."""
    vars(proxy).clear()
    for part in proxy._lab_parts.values():
        drop_attributes(part)


class _ArrayProxy(_Proxy):
    """An array; its elements are as fields are, only that a text is an object, as ctypes has it."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._lab_image)

    def __getitem__(self, index: Any) -> Any:
        element, elements = self._lab_image._type_, self._lab_elements(index)
        each = sizeof(element)
        if _is_object(element):
            parts = [self._lab_part(at, element, at * each) for at in elements]
            return parts if isinstance(index, slice) else parts[0]
        for at in elements:
            self._lab_load(at * each, each, number=True)
        return self._lab_image[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        element, elements = self._lab_image._type_, self._lab_elements(index)
        each = sizeof(element)
        self._lab_image[index] = _plain(value)
        for at in elements:
            self._lab_store(at * each, each, number=issubclass(element, _SimpleCData))

    def _lab_elements(self, index: Any) -> range:
        """Return the elements of an index or a slice, counted from the front. Raises IndexError beyond the end."""
        every = range(len(self._lab_image))
        if isinstance(index, slice):
            return every[index]
        at = every[index]
        return range(at, at + 1)


OURS = ("__init__", "__new__", "__slots__")
"""The members of a scenario's struct that its proxy does not take over."""


@cache
def _class_of(kind: Any) -> type[_Proxy]:
    """Return a class with a property for each field, and all that the scenario's author gave the type beside fields."""
    members: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__ not in ("builtins", "ctypes", "ctypes._endian", "_ctypes"):
            members |= {name: each for name, each in vars(base).items() if name not in OURS and not _is_slot(each)}
    if issubclass(kind, Structure | Union):
        members |= {field.name: _field_property(field) for field in fields_of(kind)}
    if _is_text(kind) or issubclass(kind, _SimpleCData):
        members["value"] = _value_property(kind)
    if _is_text(kind) and kind._type_._type_ == "c":
        members["raw"] = property(bytes, _store_raw)
    return type(f"{kind.__name__}Proxy", (_ArrayProxy if issubclass(kind, Array) else _Proxy,), members)


def _is_slot(member: Any) -> bool:
    """Return True for an attribute that reaches into the ctypes object itself."""
    return hasattr(type(member), "__set__") and not isinstance(member, property)


def _field_property(field: Field) -> property:
    name, kind, offset, bits = field
    size, text, number = sizeof(kind), _is_text(kind), issubclass(kind, _SimpleCData)

    if _is_object(kind) and not text:

        def load(self: _Proxy) -> Any:
            return self._lab_part(name, kind, offset)

    else:

        def load(self: _Proxy) -> Any:
            self._lab_load(offset, size, number=number)
            return getattr(self._lab_image, name)

    def store(self: _Proxy, value: Any) -> None:
        value = _plain(value)
        setattr(self._lab_image, name, value)
        if bits:
            self._lab_load(offset, size, number=number)
            setattr(self._lab_image, name, value)
        if text and isinstance(value, bytes):
            value = value.partition(b"\0")[0]
        self._lab_store(offset, _text_size(kind, value) if text else size, number=number)

    return property(load, store)


def _value_property(kind: Any) -> property:
    size, number = sizeof(kind), issubclass(kind, _SimpleCData)

    def load(self: _Proxy) -> Any:
        self._lab_load(0, size, number=number)
        return self._lab_image.value

    def store(self: _Proxy, value: Any) -> None:
        self._lab_image.value = value
        self._lab_store(0, size if number else _text_size(kind, value), number=number)

    return property(load, store)


def _store_raw(self: _Proxy, value: Any) -> None:
    self._lab_image.raw = value
    self._lab_store(0, len(value), number=False)


def _is_object(kind: Any) -> bool:
    """Return True for a value that ctypes returns as an object over the same bytes: all but plain numbers.

    Such an object can be changed later.
    """
    return _SimpleCData not in kind.__bases__


def _is_text(kind: Any) -> bool:
    return issubclass(kind, Array) and issubclass(kind._type_, _SimpleCData) and kind._type_._type_ in "cu"


def _text_size(kind: Any, text: Any) -> int:
    """Return how many bytes are stored: those of the text, and one zero where there is room."""
    return min(sizeof(kind), (len(text) + 1) * sizeof(kind._type_))


def _plain(value: Any) -> Any:
    """Return the value for ctypes; parts of the memory in it are loaded."""
    if isinstance(value, list | tuple):
        return (list if isinstance(value, list) else tuple)(map(_plain, value))
    return type(value._lab_image).from_buffer_copy(bytes(value)) if isinstance(value, _Proxy) else value
