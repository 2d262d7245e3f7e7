"""Deadlock: half of the workers lock a and then b, the others b and then a."""

from ctypes import Structure, c_int64
from typing import Any

from lab import Damage, Deadlock, Outcome, Scenario, Worker


class OppositeOrder(Scenario):
    """Every round moves 1 from a to b under a lock on each; even and odd workers lock them in opposite orders.

    The kernel refuses the wait that would close a ring of POSIX locks (EDEADLK, fcntl(2)). The worker that it
    chose gives up what it holds and tries again: nothing is lost but the time. Nobody looks for rings of
    ofd locks: the workers wait for one another until the time limit ends them.
    """

    order = 8
    after_crash = {"power": "damaged"}
    why = (
        "Each of two workers holds what the other waits for. POSIX locks refuse one of them (EDEADLK), ofd locks "
        "hang, flock is one lock and cannot. One order of locking for everybody fixes it."
    )
    expects = {"none": "damaged", "fcntl": "damaged", "ofd": "timeout"}
    locks = ("fcntl", "ofd", "flock")
    rounds = 10
    time_limit = 1.0
    pin = "one"  # and pause between the locks: the other half is let in to take its first

    class Memory(Structure):
        _fields_ = [("a", c_int64), ("b", c_int64)]

    def start(self, w: Worker) -> None:
        a, b = self.Memory.a, self.Memory.b
        w.local.order = (b, a) if w.index % 2 else (a, b)

    def work(self, w: Worker) -> None:
        refused = 0
        while not self.moved(w, *w.local.order):
            refused += 1
        if refused:
            w.damaged("deadlock (EDEADLK)", f"times refused before it got both locks: {refused}")

    def moved(self, w: Worker, first: Any, second: Any) -> bool:
        try:
            with w.write_lock(first):
                w.pause()
                with w.write_lock(second):
                    w.memory.a -= 1
                    w.memory.b += 1
                    return True
        except Deadlock:
            w.pause()
            return False

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        lost = max(outcome.rounds + memory.a, outcome.rounds - memory.b)
        evidence = [f"a is {memory.a:,} and b is {memory.b:,} after {outcome.rounds:,} moves"]
        return Damage("lost update", lost, outcome.rounds, evidence)


class Fixed(OppositeOrder):
    """Fixed by one order for everybody: a before b."""

    expects = {"none": "damaged"}

    def start(self, w: Worker) -> None:
        w.local.order = (self.Memory.a, self.Memory.b)
