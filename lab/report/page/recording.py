"""Read a recording as the model knows it: its accesses with their bytes, its holds, the file before and after.

It also names the bytes of a recorded file and writes their values in words.
"""

from __future__ import annotations

import struct
import sys
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from lab.analysis.accesses import ENDLESS, LOAD, Access
from lab.analysis.holds import Hold
from lab.records import NEVER, Field, Recording

IMAGE_AT_MOST = 1 << 22
"""Files of up to so many bytes are laid out to be looked at whole."""


def accesses_of(recording: Recording) -> list[Access]:
    """Return the accesses of a recording, with their bytes. Raise ValueError for content that cannot be unpacked."""
    import zlib

    columns = recording.accesses
    try:
        content = zlib.decompressobj().decompress(a2b_base64(columns.content), max(1, sum(columns.kept)))
    except zlib.error as error:
        raise ValueError(f"the content of its accesses: {error}") from error
    at = list(accumulate(columns.kept, initial=0))
    return [
        Access(
            begun_ns=columns.begun_ns[number],
            ended_ns=ENDLESS if ended_ns == NEVER else ended_ns,
            worker=columns.worker[number],
            round=columns.round[number],
            what=columns.kind[number],
            start=columns.start[number],
            length=columns.length[number],
            data=content[at[number] : at[number + 1]],
        )
        for number, ended_ns in enumerate(columns.ended_ns)
    ]


def images(recording: Recording) -> tuple[Access, Access] | None:
    """Return the whole file as loads: before the first access and after the last. None where parts are not known."""
    if recording.size > IMAGE_AT_MOST or recording.blocks_left_out:
        return None
    before, after = bytearray(recording.size), bytearray(recording.size)
    for block in recording.blocks:
        for image, digits in ((before, block.before), (after, block.after)):
            image[block.start : block.start + len(digits) // 2] = bytes.fromhex(digits)
    size, end = recording.size, ENDLESS - 1
    return (
        Access(-ENDLESS, -ENDLESS, NEVER, 0, LOAD, 0, size, bytes(before)),
        Access(end, end, NEVER, 0, LOAD, 0, size, bytes(after)),
    )


def holds_of(recording: Recording) -> Iterator[Hold]:
    """Yield the locks that were granted; one that was not released counts as released when granted."""
    for each in recording.holds.requests():
        if each.was_granted:
            released_ns = max(each.granted_ns, each.released_ns)
            yield Hold(each.granted_ns, released_ns, each.requested_ns, each.worker, each.span.pack())


SHOWN = 8
"""So many bytes of a longer run are written out."""

LARGE = 1 << 32
"""From this size on numbers are more than a count, and are shown by their digits in base 16."""


class Value(NamedTuple):
    """The plain value that a byte is part of: its field, its name, its first byte."""

    field: Field
    name: str
    start: int


def value_at(fields: Sequence[Field], at: int) -> Value | None:
    """Return the value that holds this byte, or None where the layout leaves a gap."""
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
    """Return the name of a run of bytes: a value, a whole field, or from one value to another."""
    first, last = value_at(fields, start), value_at(fields, end - 1)
    if not first or not last:
        return f"bytes {start:,} to {end - 1:,}"
    if first == last:
        return first.name if (start, end) == (first.start, first.start + first.field.size) else f"part of {first.name}"
    return _elements(first.field, start, end) if first.field == last.field else f"{first.name} to {last.name}"


def _elements(field: Field, start: int, end: int) -> str:
    """Name several values of one field: the whole array, some of its elements, or from one value to another."""
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
    """Write bytes of the file in words: the number, where they are one value, else the first of them."""
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
