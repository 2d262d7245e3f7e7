"""`--window`: a wider race window, made by a pause before every store of the scenario.

The scenario's text stays as it is. Its memory is seen through a proxy made from the struct's `_fields_`, so that
`memory.value += 1` loads, spins for the window, and stores. Bulk bytes are stored in two halves with the window
between them. Spinning, not sleeping: the window is then as long as asked, to a microsecond.
"""

from __future__ import annotations

from ctypes import Array, Structure
from functools import cache
from time import monotonic_ns
from typing import Any


def _spin(window_ns: int) -> None:
    until = monotonic_ns() + window_ns
    while monotonic_ns() < until:
        pass


def widened(memory: Any, window_ns: int) -> Any:
    """The same struct or array, every store through it delayed by `window_ns`."""
    if isinstance(memory, Structure):
        return _proxy(type(memory), window_ns)(memory)
    if isinstance(memory, Array):
        return _WidenedArray(memory, window_ns)
    return memory


@cache
def _proxy(kind: type[Structure], window_ns: int) -> type:
    """A class with one property a field of the struct."""

    def field(name: str) -> property:
        def load(self: Any) -> Any:
            return widened(getattr(self.struct, name), window_ns)

        def store(self: Any, value: Any) -> None:
            _spin(window_ns)
            setattr(self.struct, name, value)

        return property(load, store)

    def hold(self: Any, struct: Structure) -> None:
        self.struct = struct

    fields = {name: field(name) for name, *_ in kind._fields_}
    return type(f"Widened{kind.__name__}", (), {"__init__": hold, **fields})


class _WidenedArray:
    def __init__(self, array: Array[Any], window_ns: int) -> None:
        self._array = array
        self._window_ns = window_ns

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: int) -> Any:
        return widened(self._array[index], self._window_ns)

    def __setitem__(self, index: int, value: Any) -> None:
        _spin(self._window_ns)
        self._array[index] = value


class WidenedBytes:
    """A view of bytes whose stores come in two halves, the window between them."""

    def __init__(self, view: memoryview, window_ns: int) -> None:
        self._view = view
        self._window_ns = window_ns

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, where: slice) -> Any:
        return self._view[where]

    def __setitem__(self, where: slice, data: Any) -> None:
        target, source = self._view[where], memoryview(data)
        half = len(target) // 2
        target[:half] = source[:half]
        _spin(self._window_ns)
        target[half:] = source[half:]
