"""Model a directory and the files in it: names that lead to files, what each call does, and what a disk may have of it.

All of it is bytes behind those of the mapped file, so a state of the search stays one run of bytes. A name leads to a
file by its number; a file has a length and its bytes. These are units of the disk (`lab.model.disk`): after a power
failure each name is as at some moment since the directory was last synced, and the length and the bytes of a file are
as at some moment since that file was last synced, each for itself. POSIX promises no more: fsync(2) of a file need not
write its name, rename(2) is atomic for other processes only, and nothing orders the two. A file that was never synced
may so be empty, short, or zeros of its full length (ext4 and xfs were seen to leave such files).

A number is never given again, for the disk may still have an old name of it. Which files each worker has open is kept
as well, since a file without a name lives on while it is open: that is not on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from errno import EEXIST, ENOENT
from typing import NamedTuple

from lab.errors import ScenarioError

Load = Callable[[int, int], bytes]
"""A function that returns these bytes, start to end."""

LENGTH = 2
"""The number of bytes that hold the length of a file."""

OPEN_AT_ONCE = 4
"""The number of files that a worker may have open at once."""

LONGEST = 64
"""The length of the longest file, where none is longer at first."""

CHANGING = frozenset({"create", "write", "rename", "unlink"})
"""The calls that change a file or a name."""

MOST = 255
"""The number of files that may be made, as a name has one byte."""


Result = bytes | int
"""What a call returns: bytes, or a number, below 0 an error of errno(3)."""


class Call(NamedTuple):
    """A call on the directory or on a file of it, as a worker makes it.

    `word` is "create", "open", "read", "write", "sync", "rename" or "unlink". `name` is what the file was called when
    it was opened, empty for the directory; `other` the new name. A file is called by its `slot` among those that the
    worker has `open`. A file that is created in place of one that is there is emptied, unless it is `exclusive`.
    """

    word: str
    name: str = ""
    other: str = ""
    data: bytes = b""
    slot: int = 0
    open: tuple[int, ...] = ()
    exclusive: bool = False

    @property
    def about(self) -> str:
        """Return what it is about, as a step shows it."""
        if self.word == "rename":
            return f"{self.name} -> {self.other}"
        return self.name or "the directory"


class Effect(NamedTuple):
    """What a call returns, what it stores, and what it syncs."""

    met: Result
    stores: tuple[tuple[int, bytes], ...] = ()
    syncs: tuple[tuple[int, int], ...] = ()


class Directory:
    """The directory of a scenario with these files `first`, None for a name that leads to none yet.

    Its bytes begin at `base` and end before `end`. Up to `most` files are made, by so many workers.
    """

    def __init__(self, first: Mapping[str, bytes | None], base: int, workers: int, most: int) -> None:
        self.names = tuple(first)
        self.base = base
        self.files = first
        self._most = min(most + len(first), MOST)
        self._longest = max(LONGEST, *(2 * len(each or b"") for each in first.values()))
        self._counter = base + len(first)
        self._table = self._counter + 1
        self._begin = self._table + workers * OPEN_AT_ONCE
        self.volatile = slice(self._table, self._begin)
        self.end = self._begin + self._most * (LENGTH + self._longest)

    def first(self) -> bytes:
        """Return its bytes at first."""
        content = bytearray(self.end)
        number = 0
        for place, data in enumerate(self.files.values(), self.base):
            if data is not None:
                number += 1
                length, held = self._of(number)
                content[place] = number
                content[length] = len(data).to_bytes(LENGTH, "little")
                content[held.start : held.start + len(data)] = data
        content[self._counter] = number
        return bytes(content[self.base :])

    def parts(self, unit: int) -> list[slice]:
        """Return the places that a disk, which writes `unit` bytes whole, writes each for itself."""
        found = [slice(place, place + 1) for place in range(self.base, self._counter)]
        for number in range(1, self._most + 1):
            length, data = self._of(number)
            found.append(length)
            found += [slice(at, min(at + unit, data.stop)) for at in range(data.start, data.stop, unit)]
        return found

    def file_at(self, start: int) -> tuple[int, str]:
        """Return the number of the file that has this byte, and "length" or "bytes"; 0 and the name for a name."""
        if start < self._counter:
            return 0, self.names[start - self.base]
        number, within = divmod(start - self._begin, LENGTH + self._longest)
        return number + 1, "length" if within < LENGTH else "bytes"

    @property
    def names_end(self) -> int:
        """Return the byte behind the last of the names."""
        return self._counter

    def place_of(self, call: Call) -> tuple[int, int]:
        """Return the byte that stands for the name in a step, and the length of what is written."""
        return self.base + self._index(call.name) if call.name else self.base, len(call.data)

    def lock_range(self, number: int) -> tuple[int, int]:
        """Return the bytes that stand for a lock on the whole of this file: the first and the length."""
        length, data = self._of(number)
        return length.start, data.stop - length.start

    def numbers(self, load: Load) -> dict[str, int]:
        """Return the numbers of the files by their names."""
        found = {name: self.number(load, name) for name in self.names}
        return {name: number for name, number in found.items() if number}

    def named_files(self, load: Load) -> dict[str, tuple[int, bytes]]:
        """Return the number of the file that each name leads to, and what it holds."""
        return {name: (number, self.content(load, number)) for name, number in self.numbers(load).items()}

    def content(self, load: Load, number: int) -> bytes:
        """Return what a file holds, as far as its length goes."""
        length, data = self._of(number)
        return load(data.start, data.start + min(_number(load(length.start, length.stop)), self._longest))

    def perform(self, call: Call, worker: int, load: Load) -> Effect:
        """Return what the worker's call does. Raises ScenarioError where there is no room for it, or no such name."""
        closed = set(range(OPEN_AT_ONCE)) - {*call.open}
        pins = tuple((self._pin(worker, each), b"\0") for each in sorted(closed))
        effect: Effect = getattr(self, f"_{call.word}")(call, worker, load)
        return effect._replace(stores=(*pins, *effect.stores))

    def _create(self, call: Call, worker: int, load: Load) -> Effect:
        number = self.number(load, call.name)
        if number and call.exclusive:
            return Effect(-EEXIST)
        if number:
            length, data = self._of(number)
            emptied = ((length.start, bytes(LENGTH)), (data.start, bytes(self._longest)))
            return Effect(number, (*emptied, (self._pin(worker, call.slot), bytes([number]))))
        number = load(self._counter, self._counter + 1)[0] + 1
        if number > self._most:
            raise ScenarioError(f"more than {self._most} files are made; make fewer in a round, or run fewer rounds")
        new = bytes([number])
        name = self.base + self._index(call.name)
        return Effect(number, ((name, new), (self._counter, new), (self._pin(worker, call.slot), new)))

    def _open(self, call: Call, worker: int, load: Load) -> Effect:
        number = self.number(load, call.name)
        return Effect(number, ((self._pin(worker, call.slot), bytes([number])),)) if number else Effect(-ENOENT)

    def _read(self, call: Call, worker: int, load: Load) -> Effect:
        return Effect(self.content(load, self._opened(call, worker, load)))

    def _write(self, call: Call, worker: int, load: Load) -> Effect:
        length, data = self._of(self._opened(call, worker, load))
        end = (begin := _number(load(length.start, length.stop))) + len(call.data)
        if end > self._longest:
            raise ScenarioError(
                f"{call.name} would hold {end:,} bytes, and a file holds {self._longest:,} at most; write fewer"
            )
        return Effect(len(call.data), ((data.start + begin, call.data), (length.start, end.to_bytes(LENGTH, "little"))))

    def _sync(self, call: Call, worker: int, load: Load) -> Effect:
        if call.name:
            return Effect(0, (), (self._all_of(self._opened(call, worker, load)),))
        named = {*self.numbers(load).values()}
        kept = named | {load(each, each + 1)[0] for each in range(self._table, self._begin)}
        gone = [each for each in range(1, load(self._counter, self._counter + 1)[0] + 1) if each not in kept]
        emptied = tuple((start, bytes(end - start)) for start, end in map(self._all_of, gone))
        return Effect(0, emptied, ((self.base, self._counter), *map(self._all_of, gone)))

    def _rename(self, call: Call, worker: int, load: Load) -> Effect:
        number = self.number(load, call.name)
        if not number:
            return Effect(-ENOENT)
        if number == self.number(load, call.other):  # two names of one file: "does nothing" (rename(2))
            return Effect(0)
        old, new = (self.base + self._index(each) for each in (call.name, call.other))
        return Effect(0, ((new, bytes([number])), (old, b"\0")))

    def _unlink(self, call: Call, worker: int, load: Load) -> Effect:
        if not self.number(load, call.name):
            return Effect(-ENOENT)
        return Effect(0, ((self.base + self._index(call.name), b"\0"),))

    def _opened(self, call: Call, worker: int, load: Load) -> int:
        pin = self._pin(worker, call.slot)
        return load(pin, pin + 1)[0]

    def _pin(self, worker: int, slot: int) -> int:
        """Return the byte in which the number of a worker's open file is."""
        return self._table + worker * OPEN_AT_ONCE + slot

    def _index(self, name: str) -> int:
        if name not in self.files:
            raise ScenarioError(f"there is no file {name!r} in what files() returns; name every file there")
        return self.names.index(name)

    def number(self, load: Load, name: str) -> int:
        """Return the number of the file that a name leads to, 0 for none."""
        place = self.base + self._index(name)
        return load(place, place + 1)[0]

    def _of(self, number: int) -> tuple[slice, slice]:
        """Return the places of a file's length and of its bytes."""
        start = self._begin + (number - 1) * (LENGTH + self._longest)
        return slice(start, start + LENGTH), slice(start + LENGTH, start + LENGTH + self._longest)

    def _all_of(self, number: int) -> tuple[int, int]:
        length, data = self._of(number)
        return length.start, data.stop


class Files(Mapping[str, bytes]):
    """The files of a directory by their names, each of which is loaded when it is asked for."""

    def __init__(self, directory: Directory, load: Load) -> None:
        self._directory = directory
        self._load = load

    def __getitem__(self, name: str) -> bytes:
        number = self._directory.number(self._load, name) if name in self._directory.names else 0
        if not number:
            raise KeyError(name)
        return self._directory.content(self._load, number)

    def __iter__(self) -> Iterator[str]:
        return iter(self._directory.numbers(self._load))

    def __len__(self) -> int:
        return len(self._directory.numbers(self._load))


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
