"""Those who wait: a ring of them, and their order."""

from __future__ import annotations

import time

from .actor import HANGS, WAITS
from .deeds import GRANTED, Locked
from .found import NO, YES, Found
from .process import Process
from .stage import Stage, Unclear
from .waiting import GRANT_S, LOOK_AGAIN_S

ONE, TWO = Locked(file=0), Locked(file=1)

ROUNDS = 2
"""Three who wait come in their order by chance in one of six rounds, and in one of 36 pairs of rounds."""


def deadlock(stage: Stage) -> Found:
    """Two hold a file each, and ask for the other's: one is refused, or both wait for ever."""
    first, second = Process("A", stage), Process("B", stage)
    first.takes(ONE)
    second.takes(TWO)
    if first.asks(TWO) != WAITS:
        raise Unclear(f"{first.name} does not wait for {second.name}")
    came_to = second.asks(ONE)
    if came_to == GRANTED:
        raise Unclear(f"{second.name} does not wait for {first.name}")
    if came_to == WAITS:
        return YES if first.still() != WAITS else _hangs(stage, first, second)
    second.gives_back(TWO)
    first.goes_on()
    return YES if came_to == "EDEADLK" else Found("yes", came_to)


def _hangs(stage: Stage, first: Process, second: Process) -> Found:
    """Both wait; the death of one is what helps the other, if that is how the lock is."""
    if stage.known.get("kill") == "yes":
        second.dies()
        first.goes_on()
    return NO


def order(stage: Stage) -> Found:
    """Three queue up one after the other; each gives back what it gets. How long each hand-over took is measured."""
    holder, *queue = (Process(name, stage) for name in "ABCD")
    in_order, samples, polls = True, list[float](), False
    for _ in range(ROUNDS):
        holder.takes()
        for each in queue:
            if each.asks() != WAITS:
                raise Unclear(f"{each.name} does not wait")
        polls = polls or _run_while_waiting(queue)
        came = _let_in(holder, queue, samples)
        in_order = in_order and came == queue
    return Found("polls" if polls else "fifo" if in_order else "other", samples_ns=samples)


def _run_while_waiting(queue: list[Process]) -> bool:
    """True where one of them leaves the processor more than once: it looks again and again."""
    before = [each.switches() for each in queue]
    time.sleep(_WATCH_S)
    return before != [each.switches() for each in queue]


_WATCH_S = 0.1
"""Long enough for somebody to look again; who waits in the kernel sleeps through any time."""


def _let_in(holder: Process, queue: list[Process], samples: list[float]) -> list[Process]:
    """The order in which they came, one giving the lock to the next; how long that took joins the samples, in ns."""
    came: list[Process] = []
    while waiting := [each for each in queue if each not in came]:
        begun = holder.gives_back()
        holder = _next(waiting)
        samples.append(holder.heard_ns - begun)
        came.append(holder)
    holder.gives_back()
    return came


def _next(waiting: list[Process]) -> Process:
    """Who is let in. Raises Unclear where nobody is."""
    deadline = time.monotonic() + GRANT_S
    while time.monotonic() < deadline:
        for each in waiting:
            if each.still(LOOK_AGAIN_S) != WAITS:
                return each
    raise Unclear(f"of {len(waiting)} who wait nobody is let in: {HANGS}")
