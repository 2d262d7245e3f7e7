"""The record of one trial in which every load, store and lock was written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Damage


@dataclass(frozen=True, slots=True)
class Field:
    """The plain values of one name in the layout of the file: `start` is the first byte of the first of them.

    `dimensions` are the arrays that they stand in, outermost first: how many elements, and the bytes from one to the
    next; each fills a `[]` of the name. `size` is that of one value in bytes.
    """

    name: str
    start: int
    size: int
    kind: Literal["unsigned", "signed", "real", "text"]
    dimensions: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes of the file, as hexadecimal digits: before the workers were released, and after they had ended."""

    start: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Holds:
    """Requests for locks in the order in which they were made, one column a fact.

    Times are in ns from the release of the start barrier; -1 where it never came to that. A `length` of 0 runs to the
    end of the file and beyond; `write` is 1 for a lock that excludes readers too.
    """

    worker: list[int] = field(default_factory=list)
    requested_ns: list[int] = field(default_factory=list)
    granted_ns: list[int] = field(default_factory=list)
    released_ns: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    write: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Accesses:
    """What the workers did to the file in the order in which it began, one column a fact.

    `kind` is 0 for a load, 1 for a store, 2 for damage that the worker reported. Times are in ns from the release of
    the start barrier; `ended_ns` is -1 where the worker ended before. `kept` bytes of each are in `content`: what was
    loaded, what was to be stored, or the words of the report, one after the other in the same order, compressed as
    zlib does (RFC 1950) and spelled as base64 (RFC 4648).
    """

    worker: list[int] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    begun_ns: list[int] = field(default_factory=list)
    ended_ns: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    content: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """One more trial of a case, written down whole; writing takes time, so it counts in none of the case's figures.

    `rounds` are those of each worker, `done` those that each completed. A worker's number from the number of workers on
    is that of a second owner in a worker: its twin, or its children. `attempts` is how many trials were raced until one
    was damaged, where the case's own were, or until a request met a holder. `blocks` are the parts of the file's `size`
    bytes that held or were given anything but zeros; those that found no room are left out. Of what found no room in
    the log the numbers are told.
    """

    rounds: int
    done: list[int]
    attempts: int
    wall_ns: int
    size: int
    fields: list[Field]
    blocks: list[Block]
    holds: Holds
    accesses: Accesses
    damage: list[Damage] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    blocks_left_out: int = 0
    unrecorded_holds: int = 0
    unrecorded_accesses: int = 0
