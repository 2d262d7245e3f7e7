"""What a results document may say: it may come from anybody, so whatever it makes the lab do is bounded beforehand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields, is_dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError, UsageError, printable

from .race import Recording

BYTES = 64 << 20
"""Of a document. Read into records it takes up to twelve times as much memory."""

WORKERS = 4096
CONTENT_BYTES = 64 << 20
"""Of what the accesses of a recording kept, unpacked."""

BLOCK_DIGITS = 1 << 20
AWAY = 1 << 62
"""No time, place or length is so large: sums of two fit into 64 bits."""

CONTRADICTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading of values raises that do not belong together."""


def read(path: Path) -> bytes:
    """The bytes of the file. Raises UsageError where it cannot be read, or is larger than any document."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            os.set_blocking(file.fileno(), True)  # a FIFO that nobody writes to is empty
            content = file.read(BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give a results file") from error
    if len(content) > BYTES:
        raise UsageError(f"{path}: is larger than {BYTES >> 20} MiB, so it is no results file; give another")
    return content


@contextmanager
def untrusted(*paths: Path) -> Iterator[None]:
    """In the block only what these documents say is worked on: an error in it is said to be theirs.

    Raises UsageError for values that contradict each other.
    """
    try:
        yield
    except LabError:
        raise
    except CONTRADICTS as error:
        named = " or ".join(map(str, paths))
        told = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"{named}: its values contradict each other ({printable(told)[:200]}); make it again"
        ) from error


def check_values(document: object) -> None:
    """Raises ValueError, with the place, for a number that is out of all bounds or columns that do not fit."""
    for place, value in _values(document, ""):
        if isinstance(value, Recording):
            _check_recording(place, value)
        elif isinstance(value, int) and not -AWAY < value < AWAY:
            raise ValueError(f"{place} is out of range")
        elif place.endswith(".workers") and isinstance(value, int) and not 0 <= value <= WORKERS:
            raise ValueError(f"{place} is {value}, from 0 to {WORKERS:,} is possible")


def _values(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """All numbers and records in it, with the names by which they are reached."""
    if is_dataclass(node):
        yield place, node
        for each in fields(node):
            yield from _values(getattr(node, each.name), f"{place}.{each.name}" if place else each.name)
    elif isinstance(node, list | tuple):
        if all(type(each) in (int, float, str) for each in node):
            yield from ((place, each) for each in node if type(each) is int)
        else:
            for number, each in enumerate(node):
                yield from _values(each, f"{place}.{number}")
    elif type(node) is int:
        yield place, node


def _check_recording(place: str, recording: Recording) -> None:
    accesses, holds = recording.accesses, recording.holds
    _check_columns(f"{place}.accesses", astuple(accesses)[:-1])
    _check_columns(f"{place}.holds", astuple(holds))
    nowhere = [recording.size, recording.blocks_left_out, *accesses.start, *accesses.length, *accesses.kept]
    if min([*nowhere, *holds.start, *holds.length, *recording.done, *holds.worker, *accesses.worker]) < 0:
        raise ValueError(f"{place} has a place, a length or a worker below 0")
    if max([len(recording.done), *holds.worker, *accesses.worker]) > 2 * WORKERS:
        raise ValueError(f"{place} has more than {2 * WORKERS:,} workers")
    if sum(accesses.kept) > CONTENT_BYTES:
        raise ValueError(f"{place}.accesses kept more than {CONTENT_BYTES >> 20} MiB")
    if sum(len(block.before) + len(block.after) for block in recording.blocks) > BLOCK_DIGITS:
        raise ValueError(f"{place}.blocks are more than are ever kept")
    for block in recording.blocks:
        if len(block.before) != len(block.after) or not 0 <= block.start <= recording.size - len(block.after) // 2:
            raise ValueError(f"{place}.blocks do not fit the file")


def _check_columns(place: str, columns: tuple[list[int], ...]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"{place} has columns of different lengths")
