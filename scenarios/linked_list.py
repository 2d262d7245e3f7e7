"""Lost nodes: workers push onto a linked list that lives in the file."""

from ctypes import Structure, c_uint64

from lab import Damage, Outcome, Scenario, Worker


class LinkedList(Scenario):
    """Link a node of your own before the first and make it the first; walking finds each once, no cycle."""

    order = 8
    after_crash = {"power": "damaged"}
    rounds = 4_000
    holds_per_round = 1

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        class Memory(Structure):
            _fields_ = [("first", c_uint64), ("next", c_uint64 * (workers * rounds + 1))]  # 0 ends the list

        return Memory

    def work(self, w: Worker) -> None:
        node = 1 + w.index * w.rounds + w.round
        memory = w.memory
        following = memory.next
        with w.write_lock():
            following[node] = memory.first
            memory.first = node

    def check(self, memory: Structure, outcome: Outcome) -> list[Damage]:
        following = list(memory.next)
        met: set[int] = set()
        node = memory.first
        while node and node not in met:
            met.add(node)
            node = following[node]
        each = (len(following) - 1) // outcome.workers
        pushed = {
            1 + worker * each + round for worker, rounds in enumerate(outcome.by_worker) for round in range(rounds)
        }
        lost = sorted(pushed - met)
        owners = [f"node {n} of worker {(n - 1) // each} cannot be reached" for n in lost[:3]]
        return [
            Damage("lost node", len(lost), outcome.rounds, owners),
            Damage("cycle", int(bool(node)), outcome.rounds, [f"the walk comes back to node {node}"]),
        ]
