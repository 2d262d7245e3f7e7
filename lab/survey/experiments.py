"""Perform the experiments on a lock, one function for each property of the lock survey.

They observe which processes, threads and opens a lock keeps out, and which it grants beside a holder; what ends a hold
and what a hold survives (the death of the holder, close, fork, execve); whether a ring of waiting requests is noticed,
and in which order waiting requests are granted; and what an uncontended lock costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace

from lab.host.procfs import switches_of

from .actor import GRANT_S, HANGS, LOOK_AGAIN_S, WAITS, Actor, Process, Stage, Unclear
from .operations import GRANTED, SAMPLES, LockRequest
from .races import NO, YES, Finding

FIRST, SECOND = LockRequest(start=0), LockRequest(start=8)
AGAIN = LockRequest(opened=1)
READ = LockRequest(write=False)
BY_REFUSAL = Finding("yes", "by refusal")


def kept_out(who: Actor, let_in: Callable[[], object], *, by_refusal: bool = False) -> Finding:
    """Tell whether the requester has to wait, or is refused, and is granted the lock by what ends the hold.

    A refusal is enough where its own hold, or its parent's, keeps it out (`by_refusal`). Raises Unclear where the
    request hangs after the hold has ended, or is still refused.
    """
    return waits_for(who, who.asks(), let_in, by_refusal=by_refusal)


def waits_for(who: Actor, result: str, let_in: Callable[[], object], *, by_refusal: bool = False) -> Finding:
    """Do as `kept_out`, for a request that has had this result so far."""
    result = who.still() if result == WAITS else result
    if result == GRANTED:
        return NO
    refused = result != WAITS
    if refused and by_refusal:
        return BY_REFUSAL
    let_in()
    result = who.asks() if refused else who.goes_on()
    result = who.goes_on() if result == WAITS else result
    if result not in (GRANTED, HANGS) and not refused:  # it gave up meanwhile
        refused, result = True, who.asks()
    if result != GRANTED:
        raise Unclear(f"{who.name} is not granted the lock when no process holds it any more: {result}")
    return BY_REFUSAL if refused else YES


def processes(stage: Stage) -> Finding:
    """Observe whether another process is kept out."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.acquires()
    return kept_out(other, holder.releases)


def threads(stage: Stage) -> Finding:
    """Observe whether a second thread of the holder is kept out, through an open of its own."""
    holder = Process("A", stage)
    thread = holder.starts_thread()
    holder.acquires()
    result = thread.asks(AGAIN)
    return waits_for(thread, result, lambda: holder.releases(FIRST), by_refusal=True)


def opens(stage: Stage) -> Finding:
    """Observe whether the holder itself is kept out of a second open: where it is, it waits for itself for ever."""
    holder = Process("A", stage)
    holder.acquires(AGAIN)
    holder.releases()
    holder.acquires()
    result = holder.asks(AGAIN)
    if result in (GRANTED, WAITS):
        return NO if result == GRANTED else YES
    return BY_REFUSAL


def readers(stage: Stage) -> Finding:
    """Observe whether a second reader is granted beside the first, and no writer beside them."""
    first, second, writer = (Process(name, stage) for name in "ABC")
    first.acquires(READ)
    result = second.asks(READ)
    if result != GRANTED:
        waits_for(second, result, first.releases)
        return NO
    if writer.asks() == GRANTED:
        return Finding("no", "a writer is granted the lock beside readers")
    first.releases()
    second.releases()
    return _granted_at_last(writer, "the lock when no process reads any more")


def ranges(stage: Stage) -> Finding:
    """Observe whether two processes can hold two ranges of one file, while a third is kept out of the second range."""
    first, second, third = (Process(name, stage) for name in "ABC")
    first.acquires(FIRST)
    result = second.asks(SECOND)
    if result != GRANTED:
        waits_for(second, result, first.releases)
        return NO
    if third.asks(SECOND) == GRANTED:
        return Finding("no", "the second range keeps nobody out")
    second.releases()
    return _granted_at_last(third, "its range when no process holds it any more")


def _granted_at_last(actor: Actor, what: str) -> Finding:
    """Return YES once the request that waited is granted. Raises Unclear where it is not."""
    result = actor.goes_on()
    if result != GRANTED:
        raise Unclear(f"{actor.name} is not granted {what}: {result}")
    return YES


GIVES_UP = "who waits gives up, and was asked again: refused is kept out"


def kill(stage: Stage) -> Finding:
    """Observe whether the waiting process is granted the lock when the holder is killed (SIGKILL)."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.acquires()
    _has_to_wait(other)
    holder.dies()
    return (
        YES
        if other.goes_on() == GRANTED
        else Finding("no", f"a process that waits is not granted the lock within {GRANT_S * stage.slowness:.1f} s")
    )


def close(stage: Stage) -> Finding:
    """Observe whether the hold survives when the holder opens the locked file once more and closes that."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.acquires()
    holder.closes_others()
    return kept_out(other, holder.releases)


def fork(stage: Stage) -> Finding:
    """Observe the request of the holder's child, which uses what it inherited."""
    holder = Process("A", stage)
    holder.acquires()
    child = holder.forks()
    result = child.asks()
    if result != WAITS:
        return waits_for(child, result, holder.releases, by_refusal=True)
    holder.releases()
    if child.goes_on() == HANGS:
        return Finding("yes", "and for good: what it inherited keeps the lock, for which it waits itself")
    return YES


def child_lives(stage: Stage) -> Finding:
    """Observe whether a release by the holder frees the lock while a child lives on that it forked during the hold."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.acquires()
    holder.forks()
    _has_to_wait(other)
    holder.releases()
    return (
        YES if other.goes_on() == GRANTED else Finding("no", "the child keeps what it inherited, and with it the lock")
    )


def pause(stage: Stage) -> Generator[None, None, Finding]:
    """Observe whether a hold survives while the holder is stopped with SIGSTOP.

    It is stopped for as long as the caller waits before it resumes this generator.
    """
    holder, other = Process("A", stage), Process("B", stage)
    holder.acquires()
    holder.stops()
    result = other.asks()
    yield
    result = other.still() if result == WAITS else result
    holder.continues()
    if result == GRANTED:
        return Finding("no", "the lock was taken from a holder that was only stopped")
    found = waits_for(other, result, holder.releases)
    return replace(found, reason=GIVES_UP) if other.does("refusals") else found


def child_exits(stage: Stage) -> Finding:
    """Observe whether the hold survives when the holder's child closes what it inherited, and exits."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.acquires()
    holder.forks().exits()
    return kept_out(other, holder.releases)


def child_unlocks(stage: Stage) -> Finding:
    """Observe whether the holder's child can unlock what only its parent locked."""
    holder, other = Process("A", stage), Process("B", stage)
    holder.acquires()
    holder.forks().releases(LockRequest())
    return kept_out(other, holder.releases)


def execve(stage: Stage) -> Finding:
    """Observe whether the hold survives when the holder runs another program in its place.

    Its descriptors are left open the first time, and all closed by the execve the second time.
    """
    if not _kept_over_exec(stage, "AB", LockRequest(file=0), keep=True):
        return NO
    return YES if _kept_over_exec(stage, "CD", LockRequest(file=1), keep=False) else Finding("open")


def _kept_over_exec(stage: Stage, names: str, request: LockRequest, *, keep: bool) -> bool:
    """Return True where the other has to wait, and is granted the lock at the holder's death if the lock works so."""
    holder, other = (Process(name, stage) for name in names)
    holder.acquires(request)
    holder.execs(keep=keep)
    if other.asks(request) == GRANTED:
        return False
    holder.dies()
    if stage.known.get("kill") == "yes":
        waits_for(other, WAITS, lambda: None)
    return True


def _has_to_wait(other: Process) -> None:
    result = other.asks()
    if result != WAITS:
        raise Unclear(f"{other.name} asks beside a holder: {result}")


ONE, TWO = LockRequest(file=0), LockRequest(file=1)

ROUNDS = 2
"""Three waiting requests are granted in order by chance in one of six rounds, and in one of 36 pairs of rounds."""


def deadlock(stage: Stage) -> Finding:
    """Observe two processes that hold a file each and request the other's: one is refused, or both wait for ever."""
    first, second = Process("A", stage), Process("B", stage)
    first.acquires(ONE)
    second.acquires(TWO)
    if first.asks(TWO) != WAITS:
        raise Unclear(f"{first.name} does not wait for {second.name}")
    result = second.asks(ONE)
    if result == GRANTED:
        raise Unclear(f"{second.name} does not wait for {first.name}")
    if result == WAITS:
        return YES if first.still() != WAITS else _hangs(stage, first, second)
    second.releases(TWO)
    first.goes_on()
    return YES if result == "EDEADLK" else Finding("yes", result)


def _hangs(stage: Stage, first: Process, second: Process) -> Finding:
    """Return whether both wait for ever; the death of one is what frees the other, if the lock works so."""
    if stage.known.get("kill") == "yes":
        second.dies()
        first.goes_on()
    return NO


def order(stage: Stage) -> Finding:
    """Queue three requests one after the other, and measure the hand-overs; each releases the lock when granted."""
    holder, *queue = (Process(name, stage) for name in "ABCD")
    in_order, samples, polls = True, list[float](), False
    for _ in range(ROUNDS):
        holder.acquires()
        for each in queue:
            if each.asks() != WAITS:
                raise Unclear(f"{each.name} does not wait")
        polls = polls or _run_while_waiting(queue)
        order = _let_in(holder, queue, samples)
        in_order = in_order and order == queue
    return Finding("polls" if polls else "fifo" if in_order else "other", samples_ns=samples)


def _run_while_waiting(queue: list[Process]) -> bool:
    """Return True where one of them leaves the processor more than once: it looks again and again."""
    before = [switches_of(each.pid, voluntary=True) for each in queue]
    time.sleep(_WATCH_S)
    return before != [switches_of(each.pid, voluntary=True) for each in queue]


_WATCH_S = 0.1
"""This time is long enough for a polling process to look again; one that waits in the kernel sleeps through it."""


def _let_in(holder: Process, queue: list[Process], samples: list[float]) -> list[Process]:
    """Return the order of the grants, as one releases to the next; the times in ns are added to the samples."""
    order: list[Process] = []
    while waiting := [each for each in queue if each not in order]:
        begun = holder.releases()
        holder = _next(waiting)
        samples.append(holder.answered_ns - begun)
        order.append(holder)
    holder.releases()
    return order


def _next(waiting: list[Process]) -> Process:
    """Return the process that is granted the lock. Raises Unclear where none is."""
    deadline = time.monotonic() + GRANT_S
    while time.monotonic() < deadline:
        for each in waiting:
            if each.still(LOOK_AGAIN_S) != WAITS:
                return each
    raise Unclear(f"of {len(waiting)} that wait none is granted the lock: {HANGS}")


def pair(stage: Stage) -> Finding:
    """Measure the time in which one process locks and unlocks, again and again."""
    alone = Process("A", stage)
    samples = alone.does("cost", *LockRequest(), label=f"locks and unlocks, {SAMPLES} samples")
    if not isinstance(samples, list):
        raise Unclear(f"{alone.name}: {samples}")
    return Finding("measured", samples_ns=samples)
