"""Lost appends: workers add records to one log behind a shared tail pointer."""

from ctypes import Structure, c_uint64

from lab import Damage, Outcome, Scenario, Worker


class AppendLog(Scenario):
    """Write a record where the log ends, then move the end; every record must be there, once."""

    order = 4
    after_crash = {"power": "damaged"}
    rounds = 5_000
    holds_per_round = 1
    pin = "one"  # and pause inside the lock: most requests meet an append that is half done

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        class Memory(Structure):
            _fields_ = [("tail", c_uint64), ("records", c_uint64 * (workers * rounds))]

        return Memory

    def work(self, w: Worker) -> None:
        record = (w.index + 1) << 32 | w.round
        w.pause()
        with w.write_lock(self.Memory.tail):
            tail = w.memory.tail
            w.memory.records[tail] = record
            w.pause()
            w.memory.tail = tail + 1

    def check(self, memory: Structure, outcome: Outcome) -> Damage:
        left = set(memory.records[: memory.tail])
        lost = [
            (worker, round)
            for worker, rounds in enumerate(outcome.by_worker)
            for round in range(rounds)
            if (worker + 1) << 32 | round not in left
        ]
        evidence = [f"record {round} of worker {worker} was overwritten" for worker, round in lost[:3]]
        return Damage("lost record", len(lost), outcome.rounds, evidence)
