"""One step of a worker: a load, a store, a lock, an unlock or a sync of the shared file, or a call on a directory.

`SteppedBytes` puts a step before each load and store. `moves` says of which moves a copy of n bytes is made, and in
which order they reach the memory.

Python copies slices, texts and structs with memcpy(3), which copies up to twice the widest register in two moves that
overlap, [0, p) and [n - p, n), p the largest power of two below n; where n is a power of two, one move does. Each move
is whole within one cache line and comes apart between two. Where the widest register is shorter than a line, a move
was seen to come apart within the line too (AMD Zen 3, at byte 32), so there it is whole only within its own width.
Measured with glibc 2.36 on x86-64 (tests/benchmarks/tearing.py, docs/memory-model.md). A number of 1,
2, 4 or 8 bytes is always one move.

`named` calls bytes of the file by the scenario's fields, and values are written as people read them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from ctypes import Array, Structure, Union, _SimpleCData, sizeof
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from lab.analysis.holds import END, Span
from lab.memory.struct_proxy import fields_of
from lab.model.directory import CHANGING, Call, Directory, Effect, Load, Result

LOAD, STORE, LOCK, UNLOCK, SYNC, CALL, NOTHING, PAUSE = range(8)
NAMES = ("load", "store", "lock", "unlock", "sync", "call", "nothing", "pause")


class Operation:
    """The next step of a worker; made once and compared by identity in the hot loop.

    `start` to `end` are bytes of the file, the end exclusive. `write` is True for stores and exclusive locks; `tells`
    for what workers notice that wait for a store, and for such a wait itself.
    """

    __slots__ = ("end", "kind", "span", "start", "tells", "write")

    def __init__(self, kind: int, start: int, length: int, *, write: bool) -> None:
        self.kind = kind
        self.start = start
        self.end = start + length if length else END
        self.write = write
        self.tells = kind == PAUSE or (write and kind in (STORE, CALL))
        self.span = Span(start, length, write)

    def __repr__(self) -> str:
        return f"{NAMES[self.kind]} {self.start}-{'' if self.end == END else self.end - 1}"

    @property
    def word(self) -> str:
        """Return the operation in a word, for people and for fingerprints."""
        return NAMES[self.kind]

    def depends_on(self, other: Operation) -> bool:
        """Return True when the order of the two, by different workers, can matter.

        Loads and stores: they share a byte and one of them writes. Locks and unlocks: their ranges conflict; two
        unlocks never do, since each frees only what its owner holds. Data and locks never touch.
        """
        if (self.kind >= LOCK) != (other.kind >= LOCK) or (self.kind == CALL) != (other.kind == CALL):
            return False
        if self.kind == other.kind == UNLOCK:
            return False
        return (self.write or other.write) and self.start < other.end and other.start < self.end

    @property
    def where(self) -> tuple[int, int]:
        """Return its first byte and its length as steps and tokens have them."""
        return self.start, self.span.length

    def named(self, memory: type[Structure]) -> Named:
        """Return the name of its bytes."""
        return named(memory, self.start, self.end)


class FileCall(Operation):
    """A call on the directory of a scenario, which may load and store any of its bytes, all at once."""

    __slots__ = ("_worker", "call", "directory")

    def __init__(self, directory: Directory, call: Call, worker: int) -> None:
        super().__init__(CALL, directory.base, directory.end - directory.base, write=call.word in CHANGING)
        self.directory = directory
        self.call = call
        self._worker = worker

    @property
    def word(self) -> str:
        """Return the call."""
        return self.call.word

    @property
    def where(self) -> tuple[int, int]:
        """Return the byte that stands for the name, and the length of what is written."""
        return self.directory.place_of(self.call)

    def named(self, memory: type[Structure]) -> Named:
        """Return the name of the file, or of both."""
        return Named(self.call.about, None)

    def perform(self, load: Load) -> Effect:
        """Return what the call does, of a directory whose bytes are loaded so."""
        return self.directory.perform(self.call, self._worker, load)


class FileLock(Operation):
    """A lock on a whole file of the directory, or its end: the range stands for the file, by its number."""

    __slots__ = ("_where", "call")

    def __init__(self, kind: int, directory: Directory, number: int, call: Call, *, write: bool) -> None:
        super().__init__(kind, *directory.lock_range(number), write=write)
        self.call = call
        self._where = directory.place_of(call)

    @property
    def where(self) -> tuple[int, int]:
        """Return the byte that stands for the name."""
        return self._where

    def named(self, memory: type[Structure]) -> Named:
        """Return the name of the file."""
        return Named(self.call.about, None)


class Marker(Operation):
    """A step that touches no byte."""

    __slots__ = ()

    def __init__(self, kind: int) -> None:
        super().__init__(kind, 0, 1, write=False)
        self.end = 0

    @property
    def where(self) -> tuple[int, int]:
        """Return no bytes."""
        return 0, 0

    def named(self, memory: type[Structure]) -> Named:
        """Return no name."""
        return Named("", None)


TOUCHES_NOTHING = Marker(NOTHING)
"""The step of a call that touches no byte: it happens at a moment of its own all the same."""

SPINS = Marker(PAUSE)
"""The step of a pause after which the worker would read the same once more: it waits until another stores something."""


class Change(NamedTuple):
    """What a step changes: what it stores where, and which bytes it syncs."""

    stores: tuple[tuple[int, bytes], ...] = ()
    syncs: tuple[tuple[int, int], ...] = ()


def change_of(operation: Operation, data: bytes, load: Load) -> Change:
    """Return what a step changes: `data` is what a store stores, and a call loads the bytes of its directory so."""
    if operation.kind == STORE:
        return Change(((operation.start, data),))
    if operation.kind == SYNC:
        return Change((), ((operation.start, operation.end),))
    if isinstance(operation, FileCall):
        return Change(*operation.perform(load)[1:])
    return Change()


LINE = 64
"""The number of bytes in a cache line, and the widest register of any processor: nothing longer is moved at once."""

NARROW = (16, 32)
"""The widest moves of processors whose registers are shorter than a line."""

END_FIRST = range(9, 16)
"""The lengths whose end memcpy loads before their beginning, each with a move of 8 bytes; it stores them in order."""

Move = tuple[int, int]
"""A move: its first byte and its length."""


def moves(kind: int, start: int, length: int, widest: int, *, plain: bool = False) -> list[Move]:
    """Return the moves of a load or store of these bytes, in the order in which they reach the memory.

    `widest` is the longest move; above LINE it stands for a memory that is reached by lines of that size. A `plain`
    value is moved at once. Of the bytes that a load moves twice, it keeps those of the move that it writes last, so
    they count for that move alone.
    """
    if not length:
        return []
    if widest > LINE:
        return list(_cut(start, length, widest))
    if plain and length <= widest:
        return list(_cut(start, length, LINE))
    if plain or length > 2 * widest:
        return [piece for at, size in _cut(start, length, LINE) for piece in _cut(at, size, widest)]
    halves = _stored(length, widest) if kind == STORE else _loaded(length, widest)
    return [piece for at, size in halves for piece in _cut(start + at, size, widest if widest in NARROW else LINE)]


def _power(length: int, widest: int) -> int:
    """Return the length of the longest move that fits."""
    return min(1 << length.bit_length() - 1, widest)


def _stored(length: int, widest: int) -> list[Move]:
    power = _power(length, widest)
    halves = [(0, power), (length - power, power)]
    if power == 4 < length and widest in NARROW:
        return halves[::-1]
    if length == 3 and power == 2:
        return [(1, 2), (0, 1)]
    return halves[: 1 + (length > power)]


def _loaded(length: int, widest: int) -> list[Move]:
    """Return the moves of a load: two bytes are loaded one by one, though stored at once."""
    power = 1 if length == 2 else _power(length, widest)
    rest = length - power
    if power == 4 < length and widest in NARROW:
        return [(4, rest), (0, 4)]
    halves = [(0, rest), (rest, power)] if rest else [(0, power)]
    return halves[::-1] if length in END_FIRST and power == 8 else halves


def _cut(start: int, length: int, line: int) -> Iterator[Move]:
    """Return the parts of the range between line boundaries."""
    cuts = [start, *range(start - start % line + line, start + length, line), start + length]
    return ((one, next_one - one) for one, next_one in pairwise(cuts))


@cache
def widest_move(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """Return how many bytes this machine's memcpy moves at once.

    On x86-64 it follows the processor's flags, as glibc chooses among its versions
    (sysdeps/x86_64/multiarch/ifunc-memmove.h): glibc does not use AVX-512 on older processors, which slow down by it.
    Elsewhere it is 16, the pair of registers of AArch64.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    flags = set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))
    if platform.machine() != "x86_64":
        return 16
    if {"avx512vl", "avx_vnni"} <= flags:
        return 64
    return 32 if "avx" in flags else 16


Step = Callable[[Operation], Any]
"""A function that is called before each step with the operation; it returns once that may happen.

Of a call it returns what that returned.
"""


class SteppedBytes:
    """The shared memory as one worker accesses it: a step before each move of a load or store.

    `numbers` are the same bytes, of which each load and store is of one number (see `moves`).
    """

    __slots__ = ("_buffer", "_is_number", "_line", "_operations", "_step", "numbers")

    def __init__(self, buffer: Any, line: int, step: Step, *, is_number: bool = False) -> None:
        self._buffer = memoryview(buffer)
        self._line = line
        self._step = step
        self._is_number = is_number
        self._operations: dict[tuple[int, int, int], list[Operation]] = {}
        self.numbers = self if is_number else SteppedBytes(buffer, line, step, is_number=True)

    def _moves(self, kind: int, start: int, length: int) -> list[Operation]:
        """Return the steps of one access, made at the first access."""
        key = kind, start, length
        if key not in self._operations:
            self._operations[key] = [
                Operation(kind, at, size, write=kind == STORE)
                for at, size in moves(kind, start, length, self._line, plain=self._is_number)
            ]
        return self._operations[key]

    def load(self, start: int, length: int) -> bytes:
        """Return the bytes, put together from what each move loads."""
        loaded = bytearray(length)
        for operation in self._moves(LOAD, start, length):
            self._step(operation)
            loaded[operation.start - start : operation.end - start] = self._buffer[operation.start : operation.end]
        return bytes(loaded)

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Store the bytes, move by move."""
        for operation in self._moves(STORE, start, len(data)):
            self._step(operation)
            self._buffer[operation.start : operation.end] = data[operation.start - start : operation.end - start]

    def sync(self, start: int, length: int) -> None:
        """Sync the bytes, or all from `start` on where the length is 0; one step, however many they are."""
        key = SYNC, start, length
        if key not in self._operations:
            self._operations[key] = [Operation(SYNC, start, length, write=False)]
        self._step(self._operations[key][0])

    def call(self, operation: FileCall) -> Result:
        """Call; return what that returns."""
        met: Result = self._step(operation)
        return met

    def touch_nothing(self) -> None:
        """Do the step of a call that does no other."""
        self._step(TOUCHES_NOTHING)


Value = int | float | str | None

SHOWN_BYTES = 8
"""The number of bytes that are shown of a run of different bytes."""


class Named(NamedTuple):
    """A range of bytes: its name, and the type of the one value that it is, if it is one."""

    name: str
    kind: Any


@cache
def named(memory: type[Structure], start: int, end: int) -> Named:
    """Return the smallest part of the struct that has all these bytes: value, balances[2], record[64:128], a to b."""
    if end >= END or (start == 0 and end == sizeof(memory) and len(list(fields_of(memory))) > 1):
        return Named("the file", None)
    return _within(memory, "", 0, start, end)


def _within(kind: Any, name: str, base: int, start: int, end: int) -> Named:
    if issubclass(kind, Structure | Union):
        if name and (start, end) == (base, base + sizeof(kind)):
            return Named(name, None)
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
    """Return a number where the bytes are one value, else hexadecimal digits."""
    if kind is not None:
        value = kind.from_buffer_copy(data).value
        if isinstance(value, int | float):
            return value
    return data.hex()


def shown(value: Value) -> str:
    """Return a value as a table shows it: numbers as they are, long runs of one byte as that byte and how many."""
    if not isinstance(value, str):
        return f"{value}"
    data = bytes.fromhex(value)
    if len(data) > SHOWN_BYTES and data.count(data[0]) == len(data):
        return f"{len(data):,} x {data[0]:02x}"
    rest = f".. ({len(data):,} bytes)" if len(data) > SHOWN_BYTES else ""
    return data[:SHOWN_BYTES].hex(" ") + rest
