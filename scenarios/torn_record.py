"""Torn records: writers replace records of 64, 256 and 4,096 bytes that others read."""

from ctypes import Structure, c_ubyte
from struct import Struct
from zlib import crc32

from lab import Damage, Outcome, Scenario, Worker

HEADER = Struct("<III")  # author, sequence, checksum of the body


def sealed(author: int, sequence: int, size: int) -> bytes:
    """Return a whole record: its body repeats author and sequence, its header vouches for the body."""
    body = (HEADER.pack(author, sequence, 0) * (size // HEADER.size + 1))[: size - HEADER.size]
    return HEADER.pack(author, sequence, crc32(body)) + body


def torn(record: bytes) -> str:
    """Describe a record whose header and body do not belong together; return nothing for a whole one."""
    author, sequence, checksum = HEADER.unpack_from(record)
    if checksum == crc32(record[HEADER.size :]):
        return ""
    last = record[len(record) - (len(record) % HEADER.size or HEADER.size) :]
    return f"header of worker {author}, sequence {sequence}, over bytes that end in {last[:4].hex(' ')}"


class TornRecord(Scenario):
    """Every worker reads a record, which must be whole, and replaces it with one of its own."""

    order = 2
    after_crash = {"kill": "damaged", "power": "damaged"}
    rounds = 4_000
    holds_per_round = 1
    unshared = "clean"  # every worker finds its own copy whole

    class Memory(Structure):
        _fields_ = [("small", c_ubyte * 64), ("middle", c_ubyte * 256), ("large", c_ubyte * 4096)]

    def prepare(self, memory: Memory) -> None:
        for field in (memory.small, memory.middle, memory.large):
            field[:] = sealed(0, 0, len(field))

    def start(self, w: Worker) -> None:
        fields = [self.Memory.small, self.Memory.middle, self.Memory.large]
        w.local.turns = [(field, w.bytes(field), len(w.bytes(field))) for field in fields]

    def work(self, w: Worker) -> None:
        field, record, size = w.local.turns[w.round % 3]
        mine = sealed(w.index + 1, w.round, size)
        with w.write_lock(field):
            seen = bytes(record[:])
            record[:] = mine
        if trouble := torn(seen):
            w.damaged(f"torn record of {size} bytes", trouble)

    def check(self, memory: Memory, outcome: Outcome) -> list[Damage]:
        left = [bytes(memory.small), bytes(memory.middle), bytes(memory.large)]
        return [
            Damage(
                f"torn record of {len(record)} bytes",
                1,
                outcome.rounds,
                [f"left in the file: {torn(record)}"],
            )
            for record in left
            if torn(record)
        ]
