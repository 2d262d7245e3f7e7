"""Lost updates: the lock covers each worker's cell, but not the shared total."""

from ctypes import Structure, c_uint64

from lab import Damage, Outcome, Scenario, Worker


class ShortRange(Scenario):
    """Every worker counts in a cell of its own and in a total, and locks the bytes of its cell alone.

    The ranges of two workers never touch, so a lock that has ranges lets both in at once, and rightly so.
    """

    order = 1
    after_crash = {"power": "damaged"}
    why = (
        "The range covers the worker's cell and not the total beside it, so nobody is kept from the total. "
        "A lock over every byte that the round touches fixes it, and so does flock, which has no ranges."
    )
    expects = {"none": "damaged", "fcntl": "damaged", "ofd": "damaged"}
    locks = ("fcntl", "flock")
    rounds = 100
    holds_per_round = 1
    pin = "one"  # and pause inside the lock: a worker that it does not keep out enters

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        class Memory(Structure):
            _fields_ = [("total", c_uint64), ("cells", c_uint64 * workers)]

        return Memory

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.cells, w.index):
            self.count(w)

    def count(self, w: Worker) -> None:
        w.memory.cells[w.index] += 1
        total = w.memory.total
        w.pause()
        w.memory.total = total + 1

    def check(self, memory: Structure, outcome: Outcome) -> Damage:
        lost = outcome.rounds - memory.total
        evidence = [f"the total is {memory.total:,}, the cells hold {sum(memory.cells):,} together"]
        return Damage("lost update", lost, outcome.rounds, evidence)


class Fixed(ShortRange):
    """Fixed by a longer range: the lock covers the cells and the total."""

    expects = {"none": "damaged"}
    locks = ("fcntl", "ofd")

    def work(self, w: Worker) -> None:
        with w.write_lock():
            self.count(w)
