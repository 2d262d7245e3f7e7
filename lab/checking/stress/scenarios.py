"""The scenarios of the stress that are no part of the gallery: neighbours, growth, names, and two ways to the data.

Those about names and growth open files themselves, by the worker's path and a suffix. They run in anonymous memory,
which the workers share by fork: it holds what the files have to show. `Cleared` removes the files after each trial.
"""

from __future__ import annotations

import errno
import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ctypes import Structure, c_uint8, c_uint64
from pathlib import Path
from typing import Any, ClassVar

from lab.locking import Lock, prepared
from lab.memory import Folder, open_file, remove_file
from lab.processes import TOUCH_S, doing
from lab.scenario import Damage, Found, Outcome, Scenario, Worker

WORD = struct.Struct("=Q")
WORDS = 64
"""The number of words of a version or of a whole file: all have the same value, or it is torn."""


class Neighbours(Scenario):
    """Add 1 to your own slot under a lock on that slot alone; all additions to all slots must count."""

    rounds = 5_000
    holds_per_round = 1
    workers_at_most = 512  # slots of 8 bytes in a page

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        """Return a layout with one slot per worker."""

        class Memory(Structure):
            _fields_ = [("slots", c_uint64 * workers)]

        return Memory

    def work(self, w: Worker) -> None:
        """Load, add and store, under the lock."""
        with w.write_lock(self.Memory.slots, w.index):
            w.memory.slots[w.index] += 1

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        """Report the slots that fall short of their workers' rounds."""
        found = list(memory.slots)
        short = [rounds - value for rounds, value in zip(outcome.by_worker, found, strict=True)]
        wrong = [index for index, count in enumerate(short) if count]
        evidence = [f"slot {n} is {found[n]:,} after {outcome.by_worker[n]:,} additions" for n in wrong[:3]]
        return Damage("lost update", sum(map(abs, short)), outcome.rounds, evidence)


class Counted(Scenario):
    """A scenario whose memory is one number, which a lock protects; its workers report what they see go wrong."""

    holds_per_round = 1
    rounds = 5_000
    expects: ClassVar[dict[str, str]] = {}

    class Memory(Structure):
        """The number that the holder before left."""

        _fields_ = [("value", c_uint64)]

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        """Report nothing more."""
        return []


class OwnFiles(Scenario):
    """A scenario that makes files of its own beside the one of the trial."""

    def beside(self, workers: int) -> Sequence[str]:
        """Return the suffixes of their names; a mount may list no names, so they are removed one by one."""
        raise NotImplementedError


class Cleared:
    """The lock of a race, after each trial of which the files of these suffixes are removed."""

    def __init__(self, lock: Lock, suffixes: Sequence[str]) -> None:
        self.name, self.summary = lock.name, lock.summary
        self.has_ranges, self.excludes = lock.has_ranges, lock.excludes
        self.actions = lock.actions
        self._lock = lock
        self._suffixes = suffixes

    @contextmanager
    def prepared(self, path: str) -> Iterator[Lock]:
        """Yield the lock for one trial on this file."""
        with prepared(self._lock, path) as lock:
            try:
                yield lock
            finally:
                with doing(f"removing the files of {path}", TOUCH_S):
                    for suffix in self._suffixes:
                        with suppress(OSError):
                            remove_file(f"{path}{suffix}")


class Mixed(Counted):
    """Add 1 to a number that is loaded through a mapping or by pread, and stored through it or by pwrite."""

    def start(self, w: Worker) -> None:
        """Open the file once more, for as long as the process lives: a close would release its POSIX locks."""
        w.local.reads, w.local.writes = open_file(w.path, os.O_RDONLY), open_file(w.path, os.O_RDWR)

    def work(self, w: Worker) -> None:
        """Load in both ways, which must agree, and store in one of them."""
        with w.write_lock(self.Memory.value):
            mapped, (read,) = w.memory.value, WORD.unpack(os.pread(w.local.reads, WORD.size, 0))
            if mapped != read:
                w.damaged("difference", f"the mapping shows {mapped:,}, and pread {read:,}")
            if (w.round + w.index) % 2:
                w.memory.value = read + 1
            else:
                w.pause()
                os.pwrite(w.local.writes, WORD.pack(mapped + 1), 0)

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        """Report the additions that are not there."""
        evidence = [f"value is {memory.value:,} after {outcome.rounds:,} additions"]
        return [Damage("lost update", outcome.rounds - memory.value, outcome.rounds, evidence)]


class WholeFile(Counted, OwnFiles):
    """Open the file, read all of it, write all of it, sync and close it, under a lock on another file."""

    def beside(self, workers: int) -> Sequence[str]:
        """See `OwnFiles.beside`."""
        return [".data"]

    def start(self, w: Worker) -> None:
        """Make the file, which is empty until the first write."""
        w.local.path = f"{w.path}.data"
        os.close(open_file(w.local.path, os.O_WRONLY | os.O_CREAT))

    def work(self, w: Worker) -> None:
        """Add 1 to every word of the file."""
        with w.write_lock():
            value, file = w.memory.value, open_file(w.local.path, os.O_RDWR)
            try:
                self._look(w, value, os.pread(file, WORDS * WORD.size, 0))
                w.pause()
                os.pwrite(file, WORD.pack(value + 1) * WORDS, 0)
                os.fsync(file)
            finally:
                os.close(file)
            w.memory.value = value + 1

    def _look(self, w: Worker, value: int, content: bytes) -> None:
        if content != WORD.pack(value) * WORDS and (value or content):
            found = sorted(set(struct.unpack(f"={len(content) // WORD.size}Q", content)))
            w.damaged("stale file", f"the file shows {found[:3]} after {value:,} was written to every word")


class Grown(Counted):
    """Write at the end of the locked file, or cut it in half: each holder must find the size that was left."""

    def start(self, w: Worker) -> None:
        """Open the locked file once more, for as long as the process lives: a close would release its POSIX locks."""
        w.local.file = open_file(w.path, os.O_RDWR)

    def work(self, w: Worker) -> None:
        """Compare the size, and change it."""
        with w.write_lock():
            size, file = w.memory.value, w.local.file
            found = os.fstat(file).st_size
            if found != size:
                w.damaged("stale size", f"fstat tells {found:,} bytes of {size:,}")
            w.pause()
            if w.round % 8 == w.index % 8:
                size //= 2
                os.ftruncate(file, size)
            else:
                size += os.pwrite(file, WORD.pack(w.round), size)
            w.memory.value = size


class Listed(Counted, OwnFiles):
    """Make a name, which the next holder must find, list and remove; names come again after some rounds."""

    names = 4

    def beside(self, workers: int) -> Sequence[str]:
        """See `OwnFiles.beside`."""
        return [f".entry-{number}" for number in range(self.names)]

    def work(self, w: Worker) -> None:
        """Look at the name that the holder before made and at the one that it removed, and make the next."""
        with w.write_lock():
            last = w.memory.value
            if last:
                listed = _listed(Path(w.path).parent)
                self._look(w, last, listed)
                self._look_for_removed(w, last - 1, listed)
            w.pause()
            w.memory.value = self._make(w, last + 1)

    def _path(self, w: Worker, number: int) -> str:
        return f"{w.path}.entry-{number % self.names}"

    def _make(self, w: Worker, number: int) -> int:
        """Make a name and return its number, 0 where it cannot be made: a name that has gone may seem to be there."""
        try:
            file = open_file(self._path(w, number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        except FileNotFoundError:
            w.damaged("name not made", f"name {number:,} cannot be made, as if it was there and had gone")
            return 0
        try:
            os.write(file, WORD.pack(number))
        finally:
            os.close(file)
        return number

    def _look(self, w: Worker, number: int, listed: list[str]) -> None:
        """Report a name that is not there, or leads elsewhere; remove it."""
        path = self._path(w, number)
        if os.path.basename(path) not in listed:  # noqa: PTH119 - the path is text here
            w.damaged("name not listed", f"the directory does not list name {number:,}, which was made before")
        try:
            file = open_file(path, os.O_RDONLY)
            try:
                if os.read(file, WORD.size) != WORD.pack(number):
                    w.damaged("old file", f"name {number:,} leads to another file than the one that was made before")
            finally:
                os.close(file)
            remove_file(path)
        except FileNotFoundError:
            w.damaged("missing name", f"name {number:,} is not found, which was made before")

    def _look_for_removed(self, w: Worker, number: int, listed: list[str]) -> None:
        """Report a name that was removed and is there."""
        path = self._path(w, number)
        if os.path.basename(path) in listed:  # noqa: PTH119 - the path is text here
            w.damaged("removed name listed", f"the directory lists name {number:,}, which was removed before")
        try:
            os.close(open_file(path, os.O_RDONLY))
        except FileNotFoundError:
            return
        w.damaged("removed name found", f"name {number:,} is found, which was removed before")


def _listed(folder: Path) -> list[str]:
    """Return the names in the folder, opened anew: an open one need not show names that came later (readdir(3))."""
    with Folder.at(folder).opened() as within:
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=within)
    try:
        return os.listdir(descriptor)  # noqa: PTH208 - of a descriptor
    finally:
        os.close(descriptor)


class Replaced(Counted, OwnFiles):
    """Write a version of a file beside it and rename it over the file, while all others read the name; no lock."""

    reads = 8

    def beside(self, workers: int) -> Sequence[str]:
        """See `OwnFiles.beside`."""
        return [".saved", *(f".saved.{index}" for index in range(workers))]

    def start(self, w: Worker) -> None:
        """Save a first version."""
        w.local.path, w.local.beside = f"{w.path}.saved", f"{w.path}.saved.{w.index}"
        self._save(w, 0)

    def work(self, w: Worker) -> None:
        """Save a version, and read whichever there is, some times."""
        try:
            self._save(w, w.round)
            w.pause()
            torn = [content for content in map(self._read, [w.local.path] * self.reads) if not _is_whole(content)]
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            w.damaged("missing name", f"a name is not found ({error.strerror}), though files were only renamed")
            return
        if torn:
            w.damaged("torn version", f"the name leads to {len(torn[0]):,} bytes that no process wrote so")

    def _read(self, path: str) -> bytes:
        file = open_file(path, os.O_RDONLY)
        try:
            return os.read(file, WORDS * WORD.size + 1)
        finally:
            os.close(file)

    def _save(self, w: Worker, version: int) -> None:
        file = open_file(w.local.beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(file, WORD.pack(w.index << 32 | version) * WORDS)
        finally:
            os.close(file)
        os.rename(w.local.beside, w.local.path)  # noqa: PTH104 - the paths are text here


def _is_whole(content: bytes) -> bool:
    return content == content[: WORD.size] * WORDS


class Appended(OwnFiles):
    """Append records with O_APPEND and no lock; every record must be there, once and whole.

    Each worker closes the file after its last record, and says so. The last one to do so opens the file anew and reads
    it: while others append, what a mount has in its cache need not be what the file holds.
    """

    rounds = 400
    words = 8
    expects: ClassVar[dict[str, str]] = {}

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        """Return a layout with a mark for each worker that is done, and for each record that is not as written."""

        class Memory(Structure):
            _fields_ = [("done", c_uint8 * workers), ("lost", c_uint8 * (workers * rounds))]

        return Memory

    def beside(self, workers: int) -> Sequence[str]:
        """See `OwnFiles.beside`."""
        return [".log"]

    def start(self, w: Worker) -> None:
        """Open the log."""
        w.local.path = f"{w.path}.log"
        w.local.log = open_file(w.local.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def work(self, w: Worker) -> None:
        """Append a record; the last worker looks at all of them."""
        os.write(w.local.log, WORD.pack((w.index + 1) << 32 | w.round) * self.words)
        w.pause()
        if w.round + 1 == w.rounds:
            os.close(w.local.log)
            w.memory.done[w.index] = 1
            if all(w.memory.done):
                self._look(w)

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        """Report the records that were not there once and whole."""
        rounds = len(memory.lost) // max(1, outcome.workers)
        wrong = [divmod(place, rounds) for place, lost in enumerate(bytes(memory.lost)) if lost]
        evidence = [f"record {number} of worker {worker} is not there once and whole" for worker, number in wrong[:3]]
        return Damage("lost record", len(wrong), outcome.rounds, evidence)

    def _look(self, w: Worker) -> None:
        """Mark the records that are missing, torn, or there twice."""
        with open(open_file(w.local.path, os.O_RDONLY), "rb", buffering=0) as log:  # noqa: PTH123 - of a descriptor
            content = log.read()
        size = self.words * WORD.size
        found = Counter(content[start : start + size] for start in range(0, len(content), size))
        for worker in range(w.workers):
            for number in range(w.rounds):
                if found[WORD.pack((worker + 1) << 32 | number) * self.words] != 1:
                    w.memory.lost[worker * w.rounds + number] = 1


OWN = {
    "neighbours": Found("neighbours", Neighbours, "Lost updates of neighbours in one page"),
    "mixed": Found("mixed", Mixed, "A mapping that differs from pread"),
    "whole_file": Found("whole_file", WholeFile, "A file that is stale when it is opened"),
    "grown": Found("grown", Grown, "A size that comes late"),
    "listed": Found("listed", Listed, "Names that come or go late"),
    "replaced": Found("replaced", Replaced, "A name that is missing during a rename"),
    "appended": Found("appended", Appended, "Appended records that overwrite each other"),
}
"""These scenarios by their names in the plan."""
