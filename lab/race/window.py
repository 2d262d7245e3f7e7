"""`--window`: a wider race window, made by a pause before every store of the scenario.

The scenario's text stays as it is. Its memory is seen through a proxy made from the struct's `_fields_`, so that
`memory.value += 1` loads, pauses, and stores. Bulk bytes are stored in two halves with the pause between them.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Array, Structure
from functools import cache
from time import monotonic_ns
from typing import Any

Pause = Callable[[], None]


def spin(window_ns: int) -> Pause:
    """A pause of this length: spinning, not sleeping, so that it is as long as asked, to a microsecond."""

    def pause() -> None:
        until = monotonic_ns() + window_ns
        while monotonic_ns() < until:
            pass

    return pause


def widened(memory: Any, pause: Pause) -> Any:
    """The same struct or array, with the pause before every store through it."""
    if isinstance(memory, Structure):
        return _proxy(type(memory))(memory, pause)
    if isinstance(memory, Array):
        return _WidenedArray(memory, pause)
    return memory


@cache
def _proxy(kind: type[Structure]) -> type:
    """A class with one property a field of the struct."""

    def field(name: str) -> property:
        def load(self: Any) -> Any:
            return widened(getattr(self._struct, name), self._pause)

        def store(self: Any, value: Any) -> None:
            self._pause()
            setattr(self._struct, name, value)

        return property(load, store)

    def hold(self: Any, struct: Structure, pause: Pause) -> None:
        self._struct, self._pause = struct, pause

    fields = {name: field(name) for name, *_ in kind._fields_}
    return type(f"Widened{kind.__name__}", (), {"__init__": hold, **fields})


class _WidenedArray:
    def __init__(self, array: Array[Any], pause: Pause) -> None:
        self._array = array
        self._pause = pause

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: int) -> Any:
        return widened(self._array[index], self._pause)

    def __setitem__(self, index: int, value: Any) -> None:
        self._pause()
        self._array[index] = value


class WidenedBytes:
    """A view of bytes whose stores come in two halves, the pause between them."""

    def __init__(self, view: memoryview, pause: Pause) -> None:
        self._view = view
        self._pause = pause

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, where: slice) -> Any:
        return self._view[where]

    def __setitem__(self, where: slice, data: Any) -> None:
        target, source = self._view[where], memoryview(data)
        half = len(target) // 2
        target[:half] = source[:half]
        self._pause()
        target[half:] = source[half:]
