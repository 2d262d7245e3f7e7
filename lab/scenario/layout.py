"""Where the fields of a scenario's memory lie: byte ranges by field, element and count."""

from __future__ import annotations

from ctypes import Structure, sizeof
from typing import Any, NamedTuple

from lab.errors import ScenarioError


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
