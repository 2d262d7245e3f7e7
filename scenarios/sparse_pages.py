"""Lost marks: every page of a sparse mapping is to carry each worker's mark."""

from ctypes import Structure, c_ubyte, c_uint64

from lab import Damage, Outcome, Scenario, Worker

WORDS = 64  # of 64 marks each: 4,096 workers
STRIDE = 16_384  # bytes from one marked page to the next; between them the file stays a hole


class Page(Structure):
    """One bit a worker, then nothing."""

    _fields_ = [("marks", c_uint64 * WORDS), ("hole", c_ubyte * (STRIDE - 8 * WORDS))]


class SparsePages(Scenario):
    """Round n sets your bit in page n; all bits of all pages must be there."""

    order = 9
    after_crash = {"power": "damaged"}
    rounds = 400
    holds_per_round = 1
    sparse = True
    workers_at_most = 64 * WORDS

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        class Memory(Structure):
            _fields_ = [("pages", Page * rounds)]

        return Memory

    def start(self, w: Worker) -> None:
        w.local.mark = w.index // 64, 1 << w.index % 64

    def work(self, w: Worker) -> None:
        word, bit = w.local.mark
        marks = w.memory.pages[w.round].marks
        with w.write_lock(self.Memory.pages, w.round):
            seen = marks[word]
            w.pause()
            marks[word] = seen | bit

    def check(self, memory: Structure, outcome: Outcome) -> Damage:
        lost = [
            (worker, page)
            for worker, rounds in enumerate(outcome.by_worker)
            for page in range(rounds)
            if not memory.pages[page].marks[worker // 64] >> worker % 64 & 1
        ]
        evidence = [f"page {page} lacks the mark of worker {worker}" for worker, page in lost[:3]]
        return Damage("lost mark", len(lost), outcome.rounds, evidence)
