"""What ends a hold, and what it survives: the death of the holder, close, fork, execve."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from .actor import HANGS, WAITS
from .deeds import GRANTED, Locked
from .exclusion import kept_out, waits_for
from .found import NO, YES, Found
from .process import Process
from .stage import Stage, Unclear
from .waiting import GRANT_S

GIVES_UP = "who waits gives up, and was asked again: refused is kept out"


def kill(stage: Stage) -> Found:
    """SIGKILL of the holder: the one who waits is let in."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.takes()
    _has_to_wait(other)
    holder.dies()
    return (
        YES
        if other.goes_on() == GRANTED
        else Found("no", f"who waits is not let in within {GRANT_S * stage.slowness:.1f} s")
    )


def close(stage: Stage) -> Found:
    """The holder opens the locked file once more, and closes that."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.takes()
    holder.closes_others()
    return kept_out(other, holder.gives_back)


def fork(stage: Stage) -> Found:
    """The holder's child asks, with what it inherited."""
    holder = Process("A", stage)
    holder.takes()
    child = holder.forks()
    came_to = child.asks()
    if came_to != WAITS:
        return waits_for(child, came_to, holder.gives_back, by_refusal=True)
    holder.gives_back()
    if child.goes_on() == HANGS:
        return Found("yes", "and for good: what it inherited keeps the lock, for which it waits itself")
    return YES


def child_lives(stage: Stage) -> Found:
    """The holder gives the lock back, and a child lives on that it forked meanwhile."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.takes()
    holder.forks()
    _has_to_wait(other)
    holder.gives_back()
    return YES if other.goes_on() == GRANTED else Found("no", "the child keeps what it inherited, and with it the lock")


def pause(stage: Stage) -> Generator[None, None, Found]:
    """The holder is stopped with SIGSTOP, for as long as the caller waits before it goes on with this."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.takes()
    holder.stops()
    came_to = other.asks()
    yield
    came_to = other.still() if came_to == WAITS else came_to
    holder.continues()
    if came_to == GRANTED:
        return Found("no", "the lock was taken from a holder that was only stopped")
    found = waits_for(other, came_to, holder.gives_back)
    return replace(found, reason=GIVES_UP) if other.does("refusals") else found


def child_exits(stage: Stage) -> Found:
    """The holder's child closes what it inherited, and exits."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.takes()
    holder.forks().exits()
    return kept_out(other, holder.gives_back)


def child_unlocks(stage: Stage) -> Found:
    """The holder's child unlocks what only its parent locked."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.takes()
    holder.forks().gives_back(Locked())
    return kept_out(other, holder.gives_back)


def execve(stage: Stage) -> Found:
    """The holder puts another program in its place, its descriptors left open; and with all of them closed by that."""
    if not _kept_over_exec(stage, "AB", Locked(file=0), keep=True):
        return NO
    return YES if _kept_over_exec(stage, "CD", Locked(file=1), keep=False) else Found("open")


def _kept_over_exec(stage: Stage, names: str, asked: Locked, *, keep: bool) -> bool:
    """True where the other has to wait, and is let in at the holder's death if that is how the lock is."""
    holder, other = (Process(name, stage) for name in names)
    holder.takes(asked)
    holder.execs(keep=keep)
    if other.asks(asked) == GRANTED:
        return False
    holder.dies()
    if stage.known.get("kill") == "yes":
        waits_for(other, WAITS, lambda: None)
    return True


def _has_to_wait(other: Process) -> None:
    came_to = other.asks()
    if came_to != WAITS:
        raise Unclear(f"{other.name} asks beside a holder: {came_to}")
