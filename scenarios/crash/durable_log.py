"""A record of which half is new: each record of a log has a checksum, and the log ends before the first bad one."""

from ctypes import Structure, c_uint64
from typing import Any

from lab import Damage, Outcome, Scenario, Worker


class Record(Structure):
    """Its place in the log from 1 on, what was appended, and a checksum over both."""

    _fields_ = [("number", c_uint64), ("value", c_uint64), ("checksum", c_uint64)]


def checksum(number: int, value: int) -> int:
    """Return a number that no half of a record has."""
    return (number * 1_000_003 + value * 10_007 + 7) % (1 << 61)


def value_of(worker: int, round: int) -> int:
    """Return what this worker appends in this round."""
    return (worker + 1) << 16 | round + 1


class DurableLog(Scenario):
    """Append a record behind the last good one, and sync it."""

    order = 4
    rounds = 20
    holds_per_round = 1

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        class Memory(Structure):
            _fields_ = [("end", c_uint64), ("before", c_uint64 * 511), ("records", Record * (workers * rounds + 1))]

        return Memory

    def work(self, w: Worker) -> None:
        with w.write_lock():
            self.append(w, self.end(w.memory), value_of(w.index, w.round))

    def append(self, w: Worker, place: int, value: int) -> None:
        record = w.memory.records[place]
        record.number, record.value = place + 1, value
        record.checksum = checksum(place + 1, value)
        w.sync(self.Memory.records, place)

    def end(self, memory: Any) -> int:
        """Return the number of good records."""
        place = 0
        while place < len(memory.records) and self.is_good(memory.records[place], place + 1):
            place += 1
        return place

    def is_good(self, record: Any, number: int) -> bool:
        return bool(record.number == number and record.checksum == checksum(number, record.value))

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        left = [memory.records[place].value for place in range(self.end(memory))]
        wanted = [value_of(worker, round) for worker, done in enumerate(outcome.by_worker) for round in range(done)]
        lost = [value for value in wanted if value not in left]
        foreign = [value for value in left if value not in wanted]
        rounds = max(outcome.rounds, 1)
        return [
            Damage("record lost", len(lost), rounds, [f"of {outcome.rounds} records {len(left)} are there"]),
            Damage("half a record", len(foreign), rounds, [f"a record holds {value}" for value in foreign[:3]]),
        ]


class NoChecksum(DurableLog):
    """A record of which only the number is there counts as good."""

    why = "Nothing tells a whole record from a half one. Store a checksum over all of it."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def is_good(self, record: Any, number: int) -> bool:
        return bool(record.number == number)


class NotSynced(DurableLog):
    """A record that was appended may be gone after a crash."""

    why = "The record may not be on the disk when the round ends. Sync it before it counts as appended."
    after_crash = {"power": "damaged"}

    def append(self, w: Worker, place: int, value: int) -> None:
        record = w.memory.records[place]
        record.number, record.value = place + 1, value
        record.checksum = checksum(place + 1, value)


class EndFirst(DurableLog):
    """The end of the log may be on the disk before the record."""

    why = "The end moves before what it vouches for is on the disk. Sync the record, then move the end."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def append(self, w: Worker, place: int, value: int) -> None:
        w.memory.end = place + 1
        w.sync(self.Memory.end)
        super().append(w, place, value)

    def end(self, memory: Any) -> int:
        return int(memory.end)


class Skips(DurableLog):
    """What is appended behind a bad record is lost to all that stop at it."""

    why = "A bad record ends the log for good. Overwrite it, or cut it off, before anything is appended."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def work(self, w: Worker) -> None:
        with w.write_lock():
            place = self.end(w.memory)
            while w.memory.records[place].number:
                place += 1
            self.append(w, place, value_of(w.index, w.round))
