"""Small random programs of two or three workers: loads, stores, branches on what was loaded, and nested range locks."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import Structure, c_uint8
from functools import cache
from random import Random
from typing import Any, ClassVar, NamedTuple

from lab import Damage, Deadlock, Outcome, Scenario
from lab.exploring.search import every_schedule
from lab.scenario import Found
from tests.exploring.worlds import Endings, world

LOCKS = ("none", "fcntl", "ofd", "flock")


class Step(NamedTuple):
    """One instruction: `cell` is what it touches first, `other` a second cell or a number of cells."""

    does: str
    cell: int
    other: int = 0
    body: tuple[Step, ...] = ()


class Program(Scenario):
    """Worker n runs `texts[n]` over a few single bytes, with a number of its own that it reports at the end.

    One that `forgets` begins each round with the same number. Where there is one text only, workers are alike. At
    the end of a round each waits for a cell that is not 0, if there is one.
    """

    texts: ClassVar[tuple[tuple[Step, ...], ...]]
    forgets = True
    waits: int | None = None

    def work(self, w: Any) -> None:
        which = w.index if len(self.texts) > 1 else 0
        if self.forgets or not w.round:
            w.local.number = which + 1
        for step in self.texts[which]:
            self.take(w, step)
        while self.waits is not None and not w.memory.cells[self.waits]:
            w.pause()
        if w.round == w.rounds - 1:
            w.damaged(f"number {w.local.number}")

    def take(self, w: Any, step: Step) -> None:
        cells, local = w.memory.cells, w.local
        match step.does:
            case "load":
                local.number = (3 * local.number + cells[step.cell]) % 256
            case "store":
                cells[step.cell] = local.number
            case "add":
                cells[step.cell] += 1
            case "branch":
                if cells[step.cell] % 2:
                    cells[step.other] = local.number
            case "fail" | "ask":
                self.look(w, step)
            case "read" | "write":
                self.hold(w, step)

    def look(self, w: Any, step: Step) -> None:
        """Fail, or ask who one is, where a cell has become large: where others were there too."""
        cells = w.memory.cells
        if step.does == "fail" and cells[step.cell] > 3:
            raise ValueError(w.local.number)
        if step.does == "ask" and cells[step.cell] > w.rounds:
            cells[step.other] = w.index

    def hold(self, w: Any, step: Step) -> None:
        lock = w.write_lock if step.does == "write" else w.read_lock
        try:
            with lock(self.Memory.cells, step.cell, step.other):
                for inner in step.body:
                    self.take(w, inner)
        except Deadlock:
            w.local.number = (w.local.number + 100) % 256

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        return [Damage("odd", int(memory.cells[0] % 2), 1)]


def program(*texts: tuple[Step, ...], cells: int = 3, **members: Any) -> Found:
    """The scenario in which each worker runs its text."""

    class Memory(Structure):
        _fields_ = [("cells", c_uint8 * cells)]

    return Found("program", type("Made", (Program,), {"Memory": Memory, "texts": texts, **members}), "")


def drawn(seed: int) -> Found:
    """The program of this seed; every second one is made of locks inside locks."""
    draw = Random(seed)
    workers, cells = draw.choice([2, 2, 3]), draw.choice([1, 2, 3])
    if seed % 2:
        cells = 2 + draw.randrange(2)
        texts = [_nested(draw, cells) for _ in range(workers)]
    else:
        most = 4 if workers == 2 else 2
        texts = [tuple(_step(draw, cells, 0) for _ in range(draw.randint(1, most))) for _ in range(workers)]
    return program(*texts, cells=cells, forgets=seed % 3 > 0)


def drawn_alike(seed: int) -> tuple[Found, int, int]:
    """The program of this seed whose workers run the same text, how many they are, and their rounds.

    Some ask which they are, where they meet others.
    """
    draw = Random(seed)
    workers, cells = draw.choice([2, 3, 3, 4]), draw.choice([2, 3])
    cell, other = draw.randrange(cells), draw.randrange(cells)
    add = Step("add", cell)
    raised = Step("read", cell, 1, (Step("write", cell, 1, (add,)),))
    text = draw.choice(
        [
            tuple(_step(draw, cells, 0) for _ in range(draw.randint(1, 5 - workers))),
            _nested(draw, cells)[: 5 - workers],
            (*_plain(draw, cells), raised),
            (add, *_plain(draw, cells), Step("ask", cell, other)),
        ]
    )
    members = {"forgets": seed % 3 > 0, "waits": draw.choice([None, None, 0])}
    return program(text, cells=cells, **members), workers, draw.choice([1, 2]) if workers < 4 else 1


def _nested(draw: Random, cells: int) -> tuple[Step, ...]:
    """Two locks of different cells in one another, with some loads and stores between them and afterwards."""
    outer, inner = draw.sample(range(cells), 2)
    within = Step(_lock(draw), inner, 1, _plain(draw, cells))
    return Step(_lock(draw), outer, 1, (*_plain(draw, cells), within)), *_plain(draw, cells)


def _lock(draw: Random) -> str:
    return draw.choices(["write", "read"], [3, 1])[0]


def _plain(draw: Random, cells: int) -> tuple[Step, ...]:
    """No step more often than one."""
    does = draw.choice(["", "", "load", "store", "branch"])
    return (Step(does, draw.randrange(cells), draw.randrange(cells)),) if does else ()


def _step(draw: Random, cells: int, depth: int) -> Step:
    does = draw.choices(
        ["load", "store", "add", "branch", "fail", "write", "read"], [4, 4, 3, 2, 1, 6 - 2 * depth, 3 - depth]
    )[0]
    cell = draw.randrange(cells)
    if does not in ("write", "read"):
        return Step(does, cell, draw.randrange(cells))
    body = tuple(_step(draw, cells, depth + 1) for _ in range(draw.randint(0, 2)))
    return Step(does, cell, draw.randint(1, cells - cell), body)


def texts_of(found: Found) -> tuple[tuple[Step, ...], ...]:
    """What the workers of a program run."""
    assert issubclass(found.kind, Program)
    return found.kind.texts


@cache
def by_brute_force(seed: int, lock: str, most: int) -> Endings:
    """Every interleaving of the program of this seed, or the first ones of more than `most`."""
    found = drawn(seed)
    tally = Endings(most=most)
    every_schedule(world(found, lock, len(texts_of(found))), tally)
    return tally


def seeds(lock: str, count: int, most: int) -> Iterator[int]:
    """The first seeds whose programs interleave in several ways under the lock, in `most` at most."""
    seed = -1
    while count:
        seed += 1
        if 5 <= by_brute_force(seed, lock, most).schedules <= most:
            count -= 1
            yield seed
