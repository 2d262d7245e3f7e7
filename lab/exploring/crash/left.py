"""Say in words what a power failure left: which parts of the file are old, and what the files of a directory hold."""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import sizeof
from errno import errorcode
from typing import NamedTuple

from lab.analysis.statistics import joined
from lab.exploring.operation import named, shown
from lab.exploring.trace import text_of
from lab.exploring.worker import Shape
from lab.memory.struct_proxy import fields_of
from lab.model.directory import CHANGING, Directory
from lab.model.disk import Disk
from lab.records import Step

SHOWN = 4
"""The number of parts that are named one by one."""


class Old(NamedTuple):
    """A unit that is older on the disk than it was in memory: it is as after step `number`, 0 before the first."""

    unit: int
    number: int


def changes(step: Step) -> bool:
    """Return True for a step that stores, or changes a file or a name."""
    return step.operation == "store" or (step.operation in CHANGING and step.value not in errorcode.values())


def what_was_done(step: Step) -> str:
    """Return a step that changes something, as a reason names it."""
    if step.operation not in CHANGING:
        return f"{step.field} = {shown(step.value)}"
    value = f" {step.value}" if step.operation == "write" else ""
    return f"{step.operation} {step.field}{value}"


def to_be_synced(step: Step) -> str:
    """Return what has to be synced after a step that changes something."""
    return "the directory" if step.operation in ("create", "rename", "unlink") else step.field


def unit_name(shape: Shape, disk: Disk, unit: int) -> str:
    """Return the fields of the file that lie in this unit; what a name that begins with _ lays out is left out."""
    place = disk.place(unit)
    start, end = place.start, min(place.stop, shape.layout.size)
    names = [
        each.name for each in fields_of(shape.memory)
        if not each.name.startswith("_") and each.offset < end and start < each.offset + sizeof(each.kind)
    ]  # fmt: skip
    if len(names) == 1:
        field = getattr(shape.memory, names[0])
        if field.offset < start or field.offset + field.size > end:
            return named(shape.memory, max(start, field.offset), min(end, field.offset + field.size)).name
    return joined(names) if names else f"bytes {start}-{end - 1}"


def what_is_old(shape: Shape, disk: Disk, old: Iterable[Old], left: bytes, before: bytes) -> str:
    """Return in words which parts of what is `left` are old; `before` is what was in memory."""
    found: list[str] = []
    directory = shape.directory
    for unit, number in old:
        when = f"as {f'after step {number}' if number else 'at first'}"
        place = disk.place(unit)
        if directory is None or place.start < directory.base:
            found.append(f"{unit_name(shape, disk, unit) if place.stop <= shape.layout.size else 'all'} {when}")
            continue
        file, what = directory.file_at(place.start)
        text = f"the name {what} {when}" if not file else _file_left(directory, file, left, before)
        if text not in found:
            found.append(text)
    more = f"; {len(found) - SHOWN} more are old" if len(found) > SHOWN else ""
    return f"{'; '.join(found[:SHOWN])}{more}" if found else "all that was stored"


def _file_left(directory: Directory, number: int, left: bytes, before: bytes) -> str:
    """Return what a file holds on the disk, by the name that leads to it there, or led to it before."""
    name = next(
        (
            name
            for content in (left, before)
            for name, each in directory.numbers(lambda start, end: content[start:end]).items()  # noqa: B023
            if each == number
        ),
        f"file {number}",
    )
    held = directory.content(lambda start, end: left[start:end], number)
    if not held:
        return f"{name} is empty"
    return f"{name} holds {f'{len(held):,} zeros' if not any(held) else text_of(held)}"
