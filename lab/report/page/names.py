"""What the bytes of a recorded file are called, and their values in words."""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

from lab.results import Field

SHOWN = 8
"""Bytes of a longer run that are spelled out."""

LARGE = 1 << 32
"""From here on numbers are more than a count, and are shown by their digits in base 16."""


class Value(NamedTuple):
    """The plain value that a byte is part of: its field, its name, its first byte."""

    field: Field
    name: str
    start: int


def value_at(fields: Sequence[Field], at: int) -> Value | None:
    """The value that holds this byte; none where the layout leaves a gap."""
    for field in fields:
        found = _within(field, at)
        if found:
            return found
    return None


def _within(field: Field, at: int) -> Value | None:
    name, rest = field.name, at - field.start
    for count, stride in field.dimensions:
        index, rest = divmod(rest, stride)
        if not 0 <= index < count:
            return None
        name = name.replace("[]", f"[{index}]", 1)
    return Value(field, name, at - rest) if 0 <= rest < field.size else None


def name_of(fields: Sequence[Field], start: int, end: int) -> str:
    """The name of a run of bytes: a value, a whole field, or from one value to another."""
    first, last = value_at(fields, start), value_at(fields, end - 1)
    if not first or not last:
        return f"bytes {start:,} to {end - 1:,}"
    if first == last:
        return first.name if (start, end) == (first.start, first.start + first.field.size) else f"part of {first.name}"
    return _elements(first.field, start, end) if first.field == last.field else f"{first.name} to {last.name}"


def _elements(field: Field, start: int, end: int) -> str:
    """Several values of one field: the whole array, some of its elements, or from one value to another."""
    count, stride = field.dimensions[0]
    index, rest = divmod(start - field.start, stride)
    several, cut = divmod(end - start, stride)
    name = field.name.partition("[]")[0]
    if rest or cut:
        return f"bytes {start:,} to {end - 1:,} in {name}"
    if several == count:
        return name
    return f"{name}[{index}]" if several == 1 else f"{name}[{index}] to {name}[{index + several - 1}]"


def value_of(fields: Sequence[Field], start: int, data: bytes) -> str:
    """Bytes of the file in words: the number, where they are one value, else the first of them."""
    found = value_at(fields, start)
    if found and found.start == start and found.field.size == len(data) and found.field.kind != "text":
        return _number(found.field, data)
    shown = data[:SHOWN].hex(" ")
    return f"{len(data):,} bytes ({shown} ...)" if len(data) > SHOWN else shown


def _number(field: Field, data: bytes) -> str:
    if field.kind == "real":
        code = {4: "f", 8: "d"}.get(len(data))
        return f"{struct.unpack(code, data)[0]:g}" if code else data.hex(" ")
    number = int.from_bytes(data, sys.byteorder, signed=field.kind == "signed")
    return f"{number:#x}" if abs(number) >= LARGE else f"{number:,}"
