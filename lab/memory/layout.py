"""Find the byte range of the fields of a scenario's memory, by field, element and count."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import Array, Structure, Union, _SimpleCData, sizeof
from typing import Any, NamedTuple

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
