"""Write and read the documents as JSON, and make their schema.

A document may come from any source, so everything that it makes the lab do is bounded when it is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lab.commands import COMMANDS
from lab.errors import LabError, UsageError, printable

from .common import SCHEMA, Document
from .race import Recording, Run
from .watch import WatchTimeline

BYTES = 64 << 20
"""A document has at most so many bytes. Read into records it takes up to twelve times as much memory."""

WORKERS = 4096
CONTENT_BYTES = 64 << 20
"""The content that the accesses of a recording kept has at most so many bytes, unpacked."""

BLOCK_DIGITS = 1 << 20
AWAY = 1 << 62
"""No time, place or length is so large: sums of two fit into 64 bits."""

CONTRADICTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Reading values that contradict each other raises these."""


def read(path: Path) -> bytes:
    """Return the bytes of the file. Raise UsageError where it cannot be read, or is larger than any document."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            os.set_blocking(file.fileno(), True)  # a FIFO that no process writes to is empty
            content = file.read(BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give a results file") from error
    if len(content) > BYTES:
        raise UsageError(f"{path}: is larger than {BYTES >> 20} MiB, so it is no results file; give another")
    return content


@contextmanager
def untrusted(*paths: Path) -> Iterator[None]:
    """Report an error in the block as an error in these documents; the block works only on their content.

    Raise UsageError for values that contradict each other.
    """
    try:
        yield
    except LabError:
        raise
    except CONTRADICTS as error:
        named = " or ".join(map(str, paths))
        message = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"{named}: its values contradict each other ({printable(message)[:200]}); make it again"
        ) from error


def check_values(document: object) -> None:
    """Raise ValueError, with the place, for a number that is out of all bounds or columns that do not fit."""
    for place, value in _values(document, ""):
        if isinstance(value, Recording):
            _check_recording(place, value)
        elif isinstance(value, WatchTimeline):
            _check_columns(place, (*astuple(value.holds), value.thread, value.file, value.lock))
        elif isinstance(value, int) and not -AWAY < value < AWAY:
            raise ValueError(f"{place} is out of range")
        elif place.endswith(".workers") and isinstance(value, int) and not 0 <= value <= WORKERS:
            raise ValueError(f"{place} is {value}, from 0 to {WORKERS:,} is possible")


def _values(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield all numbers and records in it, with the names by which they are reached."""
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


def _check_columns(place: str, columns: tuple[list[Any], ...]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"{place} has columns of different lengths")


ACTS = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
"""This matches control characters and marks of direction, in UTF-8, that JSON would leave unchanged."""

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def record_of(command: str) -> type[Document]:
    """Return the record of a command's document. Raise KeyError for a command without one."""
    module, _, name = COMMANDS[command].document.partition(":")
    if not module:
        raise KeyError(command)
    kind: type[Document] = getattr(import_module(f".{module}", __package__), name)
    return kind


def json_schema(command: str = "race") -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a command's document, made from its records; alike in all Pythons."""
    from inspect import cleandoc

    import msgspec

    schema = {"$schema": DRAFT, **msgspec.json.schema(record_of(command))}
    for record in schema["$defs"].values():
        record["description"] = cleandoc(record["description"])  # Python 3.13 strips docstrings, earlier ones do not
    return schema


def encode(run: Document) -> bytes:
    """Return the document as JSON: indented, lists of numbers on one line, with a newline at its end.

    Bytes of names that are no text become `?`.
    """
    import msgspec

    try:
        plain = msgspec.json.encode(run)
    except UnicodeEncodeError:
        import json

        plain = json.dumps(asdict(run), ensure_ascii=False).encode("utf-8", "replace")
    indented = msgspec.json.format(plain, indent=1)
    lists_of_numbers = rb"\[\n[\s\d.,e+-]+\]"  # no text looks like this: a newline in it is escaped
    laid_out = re.sub(lists_of_numbers, lambda found: b"".join(found[0].split()), indented) + b"\n"
    return ACTS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), laid_out)


def load(path: Path) -> Run:
    """Read a race's document; raise as `load_any` does, and UsageError for the document of another command."""
    document = load_any(path)
    if not isinstance(document, Run):
        raise UsageError(f"{path}: is a document of `{document.command}`, not of `race`; give another")
    return document


def load_any(path: Path) -> Document:
    """Read a document of any command.

    Raise UsageError where the file is missing, no JSON, cut short, of another schema, or no run of the lab.
    """
    import msgspec

    content = read(path)
    try:
        head = msgspec.json.decode(content, type=Document)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{path}: has no `schema` and `command`, so it is no results file of the lab; give another"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cut = "truncated" in str(error) or (content.startswith(b"{") and not content.rstrip().endswith(b"}"))
        what = "is cut short" if cut else f"is not JSON ({error})"
        raise UsageError(f"{path}: {what}; make it again with `lab race`") from error
    if head.schema != SCHEMA:
        what, step = ("newer", "update the lab") if head.schema > SCHEMA else ("older", "make it again")
        raise UsageError(f"{path}: is of schema {head.schema}, {what} than this lab reads ({SCHEMA}); {step}")
    has_record = head.command in COMMANDS and COMMANDS[head.command].document
    try:
        document = msgspec.json.decode(content, type=record_of(head.command) if has_record else Run)
        check_values(document)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors, as is that of wrong UTF-8
        raise UsageError(f"{path}: does not fit schema {head.schema} ({error}); make it again") from error
    return document
