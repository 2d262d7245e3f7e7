"""Mixed blocks: 4 KiB ranges that overlap at 0, 1/4 and 1/2 are filled by different workers."""

from ctypes import Structure, c_ubyte

from lab import Damage, Outcome, Scenario, Worker

BLOCK = 1024
RANGE = 4  # blocks
STARTS = (0, 1, 2)  # blocks


class Overlap(Scenario):
    """Fill a range with your mark and look: it must be yours alone while you hold its lock."""

    order = 7
    after_crash = {"kill": "damaged", "power": "damaged"}
    rounds = 2_000
    holds_per_round = 1
    unshared = "clean"  # every worker finds its own copy whole

    class Memory(Structure):
        _fields_ = [("blocks", (c_ubyte * BLOCK) * (STARTS[-1] + RANGE))]

    def start(self, w: Worker) -> None:
        w.local.mark = bytes([1 + w.index % 255]) * (RANGE * BLOCK)

    def work(self, w: Worker) -> None:
        start = STARTS[(w.index + w.round) % len(STARTS)]
        blocks = w.bytes(self.Memory.blocks, start, RANGE)
        mark = w.local.mark
        with w.write_lock(self.Memory.blocks, start, RANGE):
            blocks[:] = mark
            seen = bytes(blocks[:])
        if seen != mark:
            others = sorted(set(seen) - set(mark))
            w.damaged("foreign bytes in a held range", f"blocks {start} to {start + 3} hold marks {others}")

    def check(self, memory: Memory, outcome: Outcome) -> list[Damage]:
        blocks = [bytes(block) for block in memory.blocks]
        mixed = [number for number, block in enumerate(blocks) if len(set(block)) > 1]
        stray = [n for n, block in enumerate(blocks) if max(block) > min(255, outcome.workers)]
        return [
            Damage(
                "mixed block",
                len(mixed),
                outcome.rounds,
                [f"block {n} holds {set(blocks[n])}" for n in mixed],
            ),
            Damage(
                "stray value",
                len(stray),
                outcome.rounds,
                [f"block {n} holds {set(blocks[n])}" for n in stray],
            ),
        ]
