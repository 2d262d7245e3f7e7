"""Half-written reads: writers replace a 4,096-byte record that readers look at under a shared lock."""

from ctypes import Structure, c_ubyte

from lab import Damage, Outcome, Scenario, Worker

SIZE = 4096


class ReadersWriters(Scenario):
    """Even workers fill the record with one value, odd ones read it: all bytes must be the same."""

    order = 6
    after_crash = {"kill": "damaged", "power": "damaged"}
    rounds = 4_000
    holds_per_round = 1
    unshared = "clean"  # every worker finds its own copy whole

    class Memory(Structure):
        _fields_ = [("record", c_ubyte * SIZE)]

    def start(self, w: Worker) -> None:
        w.local.record = w.bytes(self.Memory.record)

    def work(self, w: Worker) -> None:
        if w.index % 2 == 0:
            mine = bytes([(w.index + w.round * w.workers) % 256]) * SIZE
            with w.write_lock(self.Memory.record):
                w.local.record[:] = mine
        else:
            with w.read_lock(self.Memory.record):
                seen = bytes(w.local.record[:])
            if seen.count(seen[0]) != SIZE:
                w.damaged("half-written read", parts(seen))

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        left = bytes(memory.record)
        mixed = left.count(left[0]) != SIZE
        return Damage("mixed record left", int(mixed), outcome.rounds, [parts(left)])


def parts(record: bytes) -> str:
    """Say where the first foreign byte is."""
    whole = len(record) - len(record.lstrip(record[:1]))
    return f"bytes 0 to {whole - 1} are {record[0]}, byte {whole} is {record[whole]}" if whole < SIZE else "whole"
