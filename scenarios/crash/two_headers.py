"""A header of which half is new: two headers with a checksum take turns, so that one is always whole."""

from ctypes import Structure, c_uint64
from typing import Any

from lab import Damage, Outcome, Scenario, Worker, paged


class Header(Structure):
    """Which version this is, where its data lie, and a checksum over both and the data."""

    _fields_ = [("version", c_uint64), ("place", c_uint64), ("checksum", c_uint64)]


def checksum(version: int, place: int, data: int) -> int:
    """Return a number that no half of a header has."""
    return (version * 1_000_003 + place * 10_007 + data * 101 + 7) % (1 << 61)


class TwoHeaders(Scenario):
    """Add 1: write the sum beside the old one, sync, point the older header to it, sync."""

    order = 3
    rounds = 20
    holds_per_round = 1
    Memory = paged(("even", Header), ("odd", Header), ("first", c_uint64), ("second", c_uint64))

    def work(self, w: Worker) -> None:
        with w.write_lock():
            version, place = self.newest(w.memory)
            total = self.data(w.memory, place) + 1 if version else 1
            self.replace(w, version + 1, 1 - place, total)

    def replace(self, w: Worker, version: int, place: int, total: int) -> None:
        self.store(w, place, total)
        self.point(w, version, place, total)

    def store(self, w: Worker, place: int, total: int) -> None:
        if place:
            w.memory.second = total
            w.sync(self.Memory.second)
        else:
            w.memory.first = total
            w.sync(self.Memory.first)

    def point(self, w: Worker, version: int, place: int, total: int) -> None:
        header = w.memory.odd if version % 2 else w.memory.even
        header.version, header.place = version, place
        header.checksum = checksum(version, place, total)
        w.sync(self.Memory.odd if version % 2 else self.Memory.even)

    def newest(self, memory: Any) -> tuple[int, int]:
        """Return the version and the place of the newest whole header; version 0 where there is none."""
        found = [(0, 1)]
        for header in (memory.even, memory.odd):
            version, place = header.version, header.place
            if version and self.is_whole(memory, header, version, place):
                found.append((version, place))
        return max(found)

    def is_whole(self, memory: Any, header: Any, version: int, place: int) -> bool:
        return bool(header.checksum == checksum(version, place, self.data(memory, place)))

    def data(self, memory: Any, place: int) -> int:
        return int(memory.second if place else memory.first)

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        version, place = self.newest(memory)
        total, rounds = self.data(memory, place) if version else 0, outcome.rounds
        evidence = [f"version {version} says {total} after {rounds} additions"]
        return [
            Damage("half a header", int(total != version), max(rounds, 1), evidence),
            Damage("addition lost", max(0, rounds - total), max(rounds, 1), evidence),
            Damage("addition twice", max(0, total - rounds), max(rounds, 1), evidence),
        ]


class HeaderFirst(TwoHeaders):
    """The header may be on the disk without its data: the addition is lost though its round was finished."""

    why = "The data are not on the disk when the header is. Sync the data, then write the header."
    after_crash = {"power": "damaged"}

    def store(self, w: Worker, place: int, total: int) -> None:
        if place:
            w.memory.second = total
        else:
            w.memory.first = total


class NoChecksum(TwoHeaders):
    """A header of which only the version is new counts as whole."""

    why = "Nothing tells a whole header from a half one. Store a checksum over all that it vouches for."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def is_whole(self, memory: Any, header: Any, version: int, place: int) -> bool:
        return True


class OneHeader(TwoHeaders):
    """The only header is overwritten: while it is half new there is none."""

    why = "A crash in the middle leaves no whole header. Keep the one before until the new one is on the disk."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def point(self, w: Worker, version: int, place: int, total: int) -> None:
        header = w.memory.even
        header.version, header.place = version, place
        header.checksum = checksum(version, place, total)
        w.sync(self.Memory.even)


class SamePlace(TwoHeaders):
    """The data are overwritten where they lie: while they are new and the header is old, none is whole."""

    why = "The old data are gone before the new header is there. Write the new data beside the old ones."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def replace(self, w: Worker, version: int, place: int, total: int) -> None:
        self.store(w, 0, total)
        self.point(w, version, 0, total)
