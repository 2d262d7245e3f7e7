"""What ends a hold, and what it survives: the death of the holder, close, fork, execve."""

from __future__ import annotations

from .actor import WAITS
from .deeds import GRANTED, Locked
from .exclusion import kept_out, waits_for
from .found import NO, YES, Found
from .process import Process
from .stage import Stage, Unclear


def kill(stage: Stage) -> Found:
    """SIGKILL of the holder: the one who waits is let in."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.takes()
    _has_to_wait(other)
    holder.dies()
    return YES if other.goes_on() == GRANTED else Found("no", "who waits is never let in")


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
    return kept_out(holder.forks(), holder.gives_back, by_refusal=True)


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
