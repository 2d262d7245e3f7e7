"""List the faults that are made while a race runs, each as a row of its own, and choose those of a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.errors import UsageError
from lab.locking.registry import BUILT_IN

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
    what: Literal["kill", "stop", "signal", "pause", "isolate"]
    seconds: float = 0.0
    stop_s: float = 0.0
    long: bool = False

    @property
    def event(self) -> str:
        """Return what happened each time, as the end of a sentence that begins with its effect."""
        if self.what == "isolate":
            return "each worker had got a pid namespace of its own"
        if self.what == "stop":
            return f"the {self.whom} had been stopped for {self.stop_s:g} s"
        return f"a {self.whom} was {self.what}ed".replace("signaled", "signalled")

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

FAULTS = (*OF_LOCKS, *OF_PROGRAMS)
"""All faults, in the order of their rows."""


def find_fault(target: Target, name: str) -> Fault:
    """Return the fault of this name."""
    return next(fault for fault in FAULTS if (fault.target, fault.name) == (target, name))


def faults_for(target: Target, wanted: str, lock: str = "") -> list[Fault]:
    """Return the faults of a case whose lock has this name; `wanted` is the value of `--faults`, empty if not given.

    By default a lock of the user and a program alone have the short ones, a lock that comes with the lab has none.
    Raises UsageError for another value.
    """
    if wanted not in ("", *WANTED):
        raise UsageError(f"--faults: {wanted!r} is none of {', '.join(WANTED)}")
    asked = wanted or (NONE if target == "lock" and lock in BUILT_IN else SHORT)
    return [fault for fault in FAULTS if asked != NONE and fault.target == target and (asked == LONG or not fault.long)]
