"""A stack of two nodes without a lock around it: whoever changes its top compares and swaps, and tries again."""

from ctypes import Structure, c_uint64
from typing import Any

from lab import EVERY_LOCK, Operations, Worker

NODES = 2
LOW = (1 << 32) - 1


class NodeStack(Operations):
    """Workers take nodes and give back the oldest that they have (R. K. Treiber, 1986).

    The upper half of `top` counts its changes: a stack that was changed and looks the same is noticed. Processors
    compare and swap at once; here a short lock does it.
    """

    alike = True  # the numbers only tell whose nodes they are
    calls = 5
    counts = True

    class Memory(Structure):
        _fields_ = (("top", c_uint64), ("below", c_uint64 * (NODES + 1)))

    class Model:
        def __init__(self) -> None:
            self.nodes = [2, 1]
            self.taken: dict[int, list[int]] = {}

        def take(self, me: int) -> int | None:
            if not self.nodes:
                return None
            self.taken.setdefault(me, []).append(self.nodes[-1])
            return self.nodes.pop()

        def give(self, me: int) -> int | None:
            if not self.taken.get(me):
                return None
            self.nodes.append(self.taken[me].pop(0))
            return self.nodes[-1]

    def prepare(self, memory: Any) -> None:
        memory.top = 1
        memory.below[1] = 2

    def start(self, w: Worker) -> None:
        w.local.taken = []

    def take(self, w: Worker, me: int) -> int | None:
        while True:
            top = w.memory.top
            node = top & LOW
            if not node:
                return None
            if self._swap(w, top, w.memory.below[node]):
                w.local.taken.append(node)
                return int(node)
            w.pause()

    def give(self, w: Worker, me: int) -> int | None:
        if not w.local.taken:
            return None
        node = w.local.taken[0]
        while True:
            top = w.memory.top
            w.memory.below[node] = top & LOW
            if self._swap(w, top, node):
                return int(w.local.taken.pop(0))
            w.pause()

    def _swap(self, w: Worker, top: int, node: int) -> bool:
        with w.write_lock(self.Memory.top):
            if w.memory.top != top:
                return False
            w.memory.top = ((top >> 32) + self.counts) << 32 | node
            return True


class CountsNothing(NodeStack):
    """The top is a node and nothing else: a stack that was changed and has the same top is taken for the same."""

    counts = False
    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "the top is the same again after others took and gave back (ABA), and `below` is not; count the changes"
