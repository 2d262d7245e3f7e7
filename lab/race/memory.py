"""A scenario's memory where it is not the page itself: proxies made from the struct's own `_fields_`.

`memory.value += 1` loads from a place and stores to it: through a mapping with a pause before each store
(`lab.race.perturb`), by pread and pwrite, through whatever is mapped now (`lab.memory`). The scenario's text stays as
it is. What a value is, and which values a field takes, ctypes itself decides, on a twin of the struct that nobody
else sees: a load copies the field's bytes there first, a store copies them from there. A field, an element, or a
slice of neighbours is one load or one store.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import Array, Structure, Union, _SimpleCData, sizeof
from functools import cache
from typing import Any

from lab.errors import CannotRunError
from lab.memory.layout import Place


def laid_over(place: Place, kind: type[Structure]) -> Any:
    """The struct at the start of this place. Raises CannotRunError for a field that ctypes gives out as an object."""
    content = bytearray(sizeof(kind))
    return _part(place, content, kind.from_buffer(content), 0)


def _part(place: Place, content: bytearray, twin: Any, start: int) -> Any:
    kind: Any = type(twin)
    proxy = _LaidArray if isinstance(twin, Array) else _proxy(kind)
    return proxy(place, content, twin, start)


class _Laid:
    """A struct, union or array that begins at `start` of the place; `twin` is the private one, over `content`.

    The names leave room for the scenario's fields.
    """

    __slots__ = ("_lab_content", "_lab_parts", "_lab_place", "_lab_start", "_lab_twin")

    def __init__(self, place: Place, content: bytearray, twin: Any, start: int) -> None:
        self._lab_place = place
        self._lab_content = content
        self._lab_twin = twin
        self._lab_start = start
        self._lab_parts: dict[Any, Any] = {}

    def __bytes__(self) -> bytes:
        return self._lab_place.load(self._lab_start, sizeof(self._lab_twin))

    def _lab_load(self, offset: int, size: int) -> None:
        start = self._lab_start + offset
        self._lab_content[start : start + size] = self._lab_place.load(start, size)

    def _lab_store(self, offset: int, size: int) -> None:
        start = self._lab_start + offset
        self._lab_place.store(start, bytes(self._lab_content[start : start + size]))

    def _lab_part(self, key: Any, twin: Any, offset: int) -> Any:
        """The struct or array inside, made once; looking at it loads nothing."""
        if key not in self._lab_parts:
            self._lab_parts[key] = _part(self._lab_place, self._lab_content, twin, self._lab_start + offset)
        return self._lab_parts[key]


@cache
def _proxy(kind: type[Structure]) -> type[_Laid]:
    """A class with one property a field, and the methods that the scenario's author gave the struct."""
    lines = [base for base in reversed(kind.__mro__) if hasattr(base, "_fields_")]
    own = {
        name: member
        for base in lines
        for name, member in vars(base).items()
        if callable(member) or isinstance(member, property)
    }
    fields = {name: _field(kind, name, value, bits=bool(bits)) for name, value, *bits in _fields_of(kind)}
    return type(f"Laid{kind.__name__}", (_Laid,), {**own, **fields})


def _fields_of(kind: Any) -> Iterator[tuple[Any, ...]]:
    """All fields, those of structs that it extends and of anonymous parts too."""
    for base in reversed(kind.__mro__):
        for name, value, *bits in vars(base).get("_fields_", ()):
            yield name, value, *bits
            if name in vars(base).get("_anonymous_", ()):
                yield from _fields_of(value)


def _field(struct: Any, name: str, kind: Any, *, bits: bool) -> property:
    _check_plain(f"{struct.__name__}.{name}", kind)
    offset, size, part = getattr(struct, name).offset, sizeof(kind), _is_part(kind)

    def load(self: _Laid) -> Any:
        if part:
            return self._lab_part(name, getattr(self._lab_twin, name), offset)
        self._lab_load(offset, size)
        return getattr(self._lab_twin, name)

    def store(self: _Laid, value: Any) -> None:
        if bits:  # it shares its bytes with its neighbours, in C too
            self._lab_load(offset, size)
        setattr(self._lab_twin, name, _plain(value))
        self._lab_store(offset, _stored(kind, value))

    return property(load, store)


def _check_plain(name: str, kind: Any) -> None:
    """Raises CannotRunError for what ctypes gives out as an object of its own, to be changed without a store."""
    while issubclass(kind, Array):
        kind = kind._type_
    if not issubclass(kind, Structure | Union) and _SimpleCData not in kind.__bases__:
        raise CannotRunError(f"{name}: {kind.__name__} works only where the memory is mapped; name a plain ctypes type")


def _is_part(kind: Any) -> bool:
    """True for structs, unions and arrays; a field that is an array of characters is a value, as ctypes has it."""
    return issubclass(kind, Structure | Union) or (issubclass(kind, Array) and not _is_text(kind))


def _is_text(kind: Any) -> bool:
    return issubclass(kind, Array) and issubclass(kind._type_, _SimpleCData) and kind._type_._type_ in "cu"


def _stored(kind: Any, value: Any) -> int:
    """How many bytes a store writes: of a text as many as it is long, and one zero where there is room."""
    return min(sizeof(kind), (len(value) + 1) * sizeof(kind._type_)) if _is_text(kind) else sizeof(kind)


def _plain(value: Any) -> Any:
    """The value for ctypes; a struct or array of the memory is loaded."""
    return type(value._lab_twin).from_buffer_copy(bytes(value)) if isinstance(value, _Laid) else value


class _LaidArray(_Laid):
    """An array; its elements are as fields are."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._lab_twin)

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        if issubclass(self._lab_twin._type_, Structure | Union | Array):
            return [self._lab_at(at) for at in _all(self, index)] if isinstance(index, slice) else self._lab_at(index)
        for extent in self._lab_extents(_all(self, index)):
            self._lab_load(*extent)
        return self._lab_twin[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        several = isinstance(index, slice) and not isinstance(value, bytes | str)
        self._lab_twin[index] = list(map(_plain, value)) if several else _plain(value)
        for extent in self._lab_extents(_all(self, index)):
            self._lab_store(*extent)

    def _lab_at(self, index: Any) -> Any:
        (at,) = _all(self, index)
        return self._lab_part(at, self._lab_twin[at], at * sizeof(self._lab_twin._type_))

    def _lab_extents(self, elements: range) -> list[tuple[int, int]]:
        """Offset and size of these elements, of neighbours together."""
        each = sizeof(self._lab_twin._type_)
        if elements.step == 1:
            return [(elements.start * each, len(elements) * each)] if elements else []
        return [(at * each, each) for at in elements]


def _all(whole: Any, index: Any) -> range:
    """The elements that an index or a slice means, counted from the front. Raises IndexError beyond the end."""
    within = range(len(whole))
    if isinstance(index, slice):
        return within[index]
    at = within[index]
    return range(at, at + 1)
