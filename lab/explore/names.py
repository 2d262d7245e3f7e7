"""Name bytes of the file after the scenario's fields, and write values as people read them."""

from __future__ import annotations

from ctypes import Array, Structure, Union, _SimpleCData, sizeof
from functools import cache
from typing import Any, NamedTuple

from lab.analysis.holds import END
from lab.memory.layout import fields_of

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
    for field in fields_of(kind):
        low = base + field.offset
        high = low + sizeof(field.kind)
        if low <= start and end <= high:
            return _within(field.kind, dot + field.name, low, start, end)
        if low < end and start < high:
            touched.append(dot + field.name)
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
