"""Lost updates: two threads of one process are both let in by its POSIX lock."""

from ctypes import Structure, c_uint64
from threading import Event, Thread

from lab import Damage, Deadlock, Outcome, Scenario, Worker


class Threads(Scenario):
    """Each worker runs two threads, each with its own open file; each thread adds 1 under the lock.

    A thread that is inside waits a little for the other to come in too; once it waited in vain, the lock does
    keep them apart, and later rounds no longer wait. The kernel, which takes both threads for one owner, now
    and then also sees a ring of waiters where there is none; the thread that it refuses tries again.
    """

    order = 3
    why = (
        "A POSIX lock belongs to the process: its second thread is the same owner and is let in. "
        "A lock that belongs to the open file (ofd, flock), and a thread that opens its own, fix it."
    )
    allows_overlaps = frozenset({"fcntl"})
    expects = {"none": "damaged", "fcntl": "damaged"}
    locks = ("fcntl", "ofd")
    worlds = frozenset({"race"})
    rounds = 20
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def start(self, w: Worker) -> None:
        w.twin()
        w.local.patience_s = 0.008

    def work(self, w: Worker) -> None:
        w.local.refused = False
        one, other = Event(), Event()
        thread = Thread(target=self.add, args=(w, w.twin(), other, one))
        thread.start()
        self.add(w, w, one, other)
        thread.join()
        if w.local.refused:
            w.damaged("false deadlock (EDEADLK)", "refused to wait, though no ring of threads would have closed")

    def add(self, w: Worker, me: Worker, inside: Event, other_inside: Event) -> None:
        while not self.added(w, me, inside, other_inside):
            w.local.refused = True

    def added(self, w: Worker, me: Worker, inside: Event, other_inside: Event) -> bool:
        try:
            with me.write_lock(self.Memory.value):
                value = me.memory.value
                inside.set()
                if not other_inside.wait(w.local.patience_s):
                    w.local.patience_s = 0
                me.memory.value = value + 1
                return True
        except Deadlock:
            return False

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        additions = 2 * outcome.rounds
        lost = additions - memory.value
        evidence = [f"value is {memory.value:,} after {additions:,} additions by two threads a worker"]
        return Damage("lost update", lost, additions, evidence)
