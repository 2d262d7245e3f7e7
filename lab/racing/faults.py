"""List the faults that are made while a race runs, each as a row of its own; choose those of a case, and judge it.

A race with a fault is judged by its overlaps, by who is let in afterwards, and by the data where nobody was killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from lab.analysis.holds import Row as Hold
from lab.analysis.statistics import detection_limit, plural
from lab.errors import UsageError
from lab.locking.registry import BUILT_IN
from lab.records import Case, Failure
from lab.records.race import CRASHED

Target = Literal["lock", "program"]
NONE, SHORT, LONG = WANTED = ("none", "short", "long")
"""The values of `--faults`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault: its name in the table, what it is made to, and what it does in a sentence.

    `target` is the lock of a scenario, or a program that races alone. `whom` it is made to and `what` is done say which
    plan makes it (`lab.racing.fault_plan`). It is raced for `seconds`, in as many trials as fit; 0 is one trial, in
    which the fault is made once. A stop lasts `stop_s`. A `long` fault is made only with `--faults long`.
    """

    name: str
    target: Target
    summary: str
    whom: Literal["holder", "waiter", "worker"]
    what: Literal["kill", "stop", "signal", "pause", "isolate", "crash"]
    seconds: float = 0.0
    stop_s: float = 0.0
    long: bool = False

    @property
    def event(self) -> str:
        """Return what happened each time, as the end of a sentence that begins with its effect."""
        if self.what == "isolate":
            return "each worker had got a pid namespace of its own"
        if self.what == "crash":
            return f"a {'holder' if self.target == 'lock' else 'copy'} was killed and the next one had recovered"
        if self.what == "stop":
            return f"the {self.whom} had been stopped for {self.stop_s:g} s"
        return self.blow

    @property
    def blow(self) -> str:
        """Return what was done to a process each time, without what followed."""
        return f"a {self.whom} was {self.what}ed".replace("signaled", "signalled").replace("crashed", "killed")

    @property
    def kills(self) -> bool:
        """Return True where a round may be left half done, so that the check of the data is not used."""
        return self.what == "kill"


def _stopped(target: Target, seconds: int, *, long: bool = False) -> Fault:
    summary = f"the holder is stopped inside the lock for {seconds} s, and goes on"
    return Fault(f"holder stopped {seconds} s", target, summary, "holder", "stop", stop_s=seconds, long=long)


OF_LOCKS = (
    Fault("holder killed", "lock", "holders are killed inside the lock while others wait", "holder", "kill", 2.0),
    Fault("waiter killed", "lock", "processes are killed while they wait for the lock", "waiter", "kill", 1.0),
    _stopped("lock", 1),
    _stopped("lock", 5),
    _stopped("lock", 15, long=True),
    Fault("waiter signalled", "lock", "those that wait get signals that they handle", "waiter", "signal", 1.0),
    Fault("own pid namespace", "lock", "each worker has a pid namespace, as in a container", "worker", "isolate", 0.5),
)
"""The faults that are made to the lock of a scenario's workers (`lab.racing.fault_plan`)."""

OF_PROGRAMS = (
    Fault("own pid namespace", "program", "each copy has a pid namespace, as in a container", "worker", "isolate", 1.0),
    Fault("paused between calls", "program", "a copy is held before a system call", "worker", "pause", 4.0),
    Fault("waiter signalled", "program", "copies that wait get signals that they handle", "waiter", "signal", 1.5),
    Fault("holder killed", "program", "a copy is killed while it holds a lock", "holder", "kill", 0.7),
    Fault("waiter killed", "program", "a copy is killed while it waits for a lock", "waiter", "kill", 0.5),
    _stopped("program", 1),
    _stopped("program", 5),
    _stopped("program", 15, long=True),
)
"""The faults that are made to the copies of a program (`lab.racing.programs.faulty`)."""

CRASH = Fault(
    CRASHED, "lock", "a holder is killed between two stores, and one more worker recovers", "holder",
    "crash", 4.0,
)  # fmt: skip
"""The fault of `--crash kill`, after which the data is checked (`lab.racing.crash`)."""

CRASH_OF_PROGRAM = Fault(
    CRASHED, "program", "a copy is killed between two calls or while it holds a lock, and another recovers", "worker",
    "crash", 4.0,
)  # fmt: skip
"""The same for the copies of a program (`lab.racing.programs.crash`)."""

FAULTS = (*OF_LOCKS, *OF_PROGRAMS)
"""All faults, in the order of their rows."""


def find_fault(target: Target, name: str) -> Fault:
    """Return the fault of this name."""
    return next(fault for fault in FAULTS if (fault.target, fault.name) == (target, name))


def faults_for(target: Target, wanted: str, lock: str = "", *, crash: bool = False) -> list[Fault]:
    """Return the faults of a case whose lock has this name; `wanted` is the value of `--faults`, empty if not given.

    By default a lock of the user and a program alone have the short ones, a lock that comes with the lab has none, and
    with a `crash` nothing else is made. The crash is the last of them. Raises UsageError for another value.
    """
    if wanted not in ("", *WANTED):
        raise UsageError(f"--faults: {wanted!r} is none of {', '.join(WANTED)}")
    asked = wanted or (NONE if crash or (target == "lock" and lock in BUILT_IN) else SHORT)
    crashes = [CRASH if target == "lock" else CRASH_OF_PROGRAM] * crash
    faults = [
        fault for fault in FAULTS if asked != NONE and fault.target == target and (asked == LONG or not fault.long)
    ]
    return [*faults, *crashes]


SHUT_OUT = "gave up waiting for the lock of a killed process"


def shut_out(trial: int, deaths: Iterable[tuple[int, int]], holds: Iterable[Hold], gave_up: int) -> list[Failure]:
    """Return a failure if the lock was requested in vain after the last death, and nobody was let in again.

    Each of the `deaths` is a worker and the time in ns. A lock that waits for ever shows it by the time limit; one that
    gives up ends each round, and with them the trial.
    """
    last = max(((at, worker) for worker, at in deaths), default=None)
    if last is None or not gave_up or any(granted > last[0] for granted, *_ in holds):
        return []
    return [Failure(trial=trial, worker=last[1], round=0, how="late", reason=SHUT_OUT)]


def judged(case: Case, fault: Fault, patience_s: float) -> Case:
    """Return the row of a race with a fault with its verdict.

    Conflicting holds that overlap are the cause where a worker fails too: its lock was taken away. A worker that waits
    for longer than the patience is the lock's fault only if it waits for the lock.
    """
    if fault.what == "crash":
        case = replace(case, detection_limit=detection_limit(case.faults_made))
    if case.verdict == "unsupported":
        return replace(case, reason=f"not tried: {case.reason}")
    if case.overlapping_holds:
        times = "once" if case.overlapping_holds == 1 else f"{case.overlapping_holds:,} times"
        failed = f"; then worker {case.failures[0].worker} {case.failures[0].reason}" if case.failures else ""
        reason = f"conflicting holds overlapped, {times}, after {fault.event}{failed}"
        return replace(case, verdict="damaged", reason=reason)
    if case.verdict == "damaged":
        after = f", after {fault.event}" if fault.target == "lock" else ""
        return replace(case, reason=f"{case.reason}{after}")
    after = fault.blow if fault.what == "crash" else fault.event
    if any(failure.reason == SHUT_OUT for failure in case.failures):
        return replace(case, reason=f"nobody was let in again after {after}: every request gave up")
    if case.verdict == "timeout" and any(_waited(failure) for failure in case.failures):
        return replace(case, reason=f"nobody was let in for {patience_s:.3g} s after {after}")
    if case.verdict == "clean" and not case.faults_made:
        reason = f"not tried: in {plural(case.operations, 'round')} no worker held the lock when the fault was due"
        return replace(case, verdict="inconclusive", reason=reason)
    return case


def _waited(failure: Failure) -> bool:
    return "waiting for" in failure.reason
