"""Lost updates: two threads of one process are let in under its one POSIX lock."""

from ctypes import Structure, c_uint64
from threading import Event, Thread

from lab import Damage, Deadlock, Outcome, Scenario, Worker


class Threads(Scenario):
    """Each worker runs two threads, each with its own open file; each thread adds 1 under the lock.

    A thread that is inside waits a little for the other to come in too; once it waited in vain, the lock does
    keep them apart, and later rounds no longer wait. The kernel, which takes both threads for one owner, now
    and then also sees a ring of waiters where there is none; the thread that it refuses tries again.
    """

    why = (
        "A POSIX lock belongs to the process: its second thread is the same owner and is let in. "
        "Under ofd (and flock) each open file is an owner, so threads that open for themselves are kept apart."
    )
    expects = {"none": "damaged", "fcntl": "damaged"}
    locks = ("fcntl", "ofd")
    worlds = frozenset({"race"})
    rounds = 20
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def start(self, w: Worker) -> None:
        w.twin()
        w.local.patience_s = 0.005

    def work(self, w: Worker) -> None:
        one, other = Event(), Event()
        thread = Thread(target=self.add, args=(w.twin(), w, other, one))
        thread.start()
        self.add(w, w, one, other)
        thread.join()

    def add(self, thread: Worker, w: Worker, inside: Event, other_inside: Event) -> None:
        try:
            with thread.write_lock(self.Memory.value):
                value = thread.memory.value
                inside.set()
                if not other_inside.wait(w.local.patience_s):
                    w.local.patience_s = 0
                thread.memory.value = value + 1
        except Deadlock:
            w.damaged("false deadlock (EDEADLK)", "two threads that wait count as one owner")
            self.add(thread, w, inside, other_inside)

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        additions = 2 * outcome.rounds
        lost = additions - memory.value
        evidence = [f"value is {memory.value:,} after {additions:,} additions by two threads a worker"]
        return Damage("lost update", lost, additions, evidence)
