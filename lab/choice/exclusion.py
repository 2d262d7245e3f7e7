"""Who is kept out, and who is let in beside a holder."""

from __future__ import annotations

from collections.abc import Callable

from .actor import HANGS, WAITS, Actor
from .deeds import GRANTED, Locked
from .found import NO, YES, Found
from .process import Process
from .stage import Stage, Unclear

FIRST, SECOND = Locked(start=0), Locked(start=8)
AGAIN = Locked(opened=1)
READ = Locked(write=False)
BY_REFUSAL = Found("yes", "by refusal")


def kept_out(who: Actor, let_in: Callable[[], object], *, by_refusal: bool = False) -> Found:
    """Whether he who asks has to wait, or is refused, and is let in by what ends the hold.

    A refusal is enough where it is his own hold, or his parent's, that keeps him out (`by_refusal`). Raises Unclear
    where he hangs after the hold has ended, or is refused still.
    """
    return waits_for(who, who.asks(), let_in, by_refusal=by_refusal)


def waits_for(who: Actor, came_to: str, let_in: Callable[[], object], *, by_refusal: bool = False) -> Found:
    """`kept_out`, of a request that came to this so far."""
    came_to = who.still() if came_to == WAITS else came_to
    if came_to == GRANTED:
        return NO
    refused = came_to != WAITS
    if refused and by_refusal:
        return BY_REFUSAL
    let_in()
    came_to = who.asks() if refused else who.goes_on()
    came_to = who.goes_on() if came_to == WAITS else came_to
    if came_to not in (GRANTED, HANGS) and not refused:  # it lost patience meanwhile
        refused, came_to = True, who.asks()
    if came_to != GRANTED:
        raise Unclear(f"{who.name} is not let in when nobody holds the lock any more: {came_to}")
    return BY_REFUSAL if refused else YES


def processes(stage: Stage) -> Found:
    """Another process."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.takes()
    return kept_out(other, holder.gives_back)


def threads(stage: Stage) -> Found:
    """A second thread of the holder, through an open of its own."""
    holder = Process("A", stage)
    thread = holder.starts_thread()
    holder.takes()
    asked = thread.asks(AGAIN)
    return waits_for(thread, asked, lambda: holder.gives_back(FIRST), by_refusal=True)


def opens(stage: Stage) -> Found:
    """The holder itself, through a second open: where it is kept out, it waits for itself for ever."""
    holder = Process("A", stage)
    holder.takes(AGAIN)
    holder.gives_back()
    holder.takes()
    came_to = holder.asks(AGAIN)
    if came_to in (GRANTED, WAITS):
        return NO if came_to == GRANTED else YES
    return BY_REFUSAL


def readers(stage: Stage) -> Found:
    """A second reader beside the first, and no writer beside them."""
    first, second, writer = (Process(name, stage) for name in "ABC")
    first.takes(READ)
    came_to = second.asks(READ)
    if came_to != GRANTED:
        waits_for(second, came_to, first.gives_back)
        return NO
    if writer.asks() == GRANTED:
        return Found("no", "a writer is let in beside readers")
    first.gives_back()
    second.gives_back()
    came_to = writer.goes_on()
    if came_to != GRANTED:
        raise Unclear(f"{writer.name} is not let in when nobody reads any more: {came_to}")
    return YES


def ranges(stage: Stage) -> Found:
    """Two processes hold two ranges of one file, and a third is kept out of the second range."""
    first, second, third = (Process(name, stage) for name in "ABC")
    first.takes(FIRST)
    came_to = second.asks(SECOND)
    if came_to != GRANTED:
        waits_for(second, came_to, first.gives_back)
        return NO
    if third.asks(SECOND) == GRANTED:
        return Found("no", "the second range keeps nobody out")
    second.gives_back()
    came_to = third.goes_on()
    if came_to != GRANTED:
        raise Unclear(f"{third.name} is not let in when nobody holds its range any more: {came_to}")
    return YES
