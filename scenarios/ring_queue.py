"""Items lost or served twice: producers and consumers share one ring in the file."""

from collections import Counter
from ctypes import Structure, c_uint64

from lab import Damage, Outcome, Scenario, Worker


class RingQueue(Scenario):
    """Every worker puts an item and takes one; each item must come out once, and in order per producer.

    A worker takes only after it put, so the ring is never empty when it is locked right, nor ever fuller than
    there are workers: nobody has to wait for anybody.
    """

    order = 5
    after_crash = {"kill": "damaged", "power": "damaged"}
    rounds = 2_000

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        class Memory(Structure):
            _fields_ = [
                ("head", c_uint64),  # items put so far
                ("tail", c_uint64),  # items taken so far
                ("ring", c_uint64 * workers),
                ("taken", (c_uint64 * rounds) * workers),  # what each consumer got, in its order
            ]

        return Memory

    def work(self, w: Worker) -> None:
        item = (w.index + 1) << 32 | w.round
        memory = w.memory
        with w.write_lock():
            head = memory.head
            memory.ring[head % w.workers] = item
            memory.head = head + 1
        with w.write_lock():
            tail = memory.tail
            memory.taken[w.index][w.round] = memory.ring[tail % w.workers]
            memory.tail = tail + 1

    def check(self, memory: Structure, outcome: Outcome) -> list[Damage]:
        taken = [list(row[:rounds]) for row, rounds in zip(memory.taken, outcome.by_worker, strict=True)]
        times = Counter(item for row in taken for item in row)
        put = {(worker + 1) << 32 | n for worker, rounds in enumerate(outcome.by_worker) for n in range(rounds)}
        lost, again = sorted(put - times.keys()), [item for item in times if times[item] > 1]
        disorder = [(row, item) for row in range(len(taken)) for item in out_of_order(taken[row])]
        return [
            Damage("item lost", len(lost), outcome.rounds, [f"{name(item)} never came out" for item in lost[:3]]),
            Damage(
                "item served twice",
                sum(times[item] - 1 for item in again),
                outcome.rounds,
                [f"{name(item)} came out {times[item]} times" for item in again[:3]],
            ),
            Damage(
                "out of order",
                len(disorder),
                outcome.rounds,
                [f"worker {row} got {name(item)} after a later one" for row, item in disorder[:3]],
            ),
        ]


def out_of_order(items: list[int]) -> list[int]:
    """Return the items that a consumer got after a later item of the same producer."""
    latest: dict[int, int] = {}
    late = []
    for item in items:
        producer = item >> 32
        if item < latest.get(producer, 0):
            late.append(item)
        latest[producer] = max(item, latest.get(producer, 0))
    return late


def name(item: int) -> str:
    """Return an item in words."""
    return f"item {item & 0xFFFF_FFFF} of worker {(item >> 32) - 1}" if item else "an empty slot"
