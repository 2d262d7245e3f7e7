"""List the faults that are made while a race runs, each as a row of its own, and choose those of a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.errors import UsageError
from lab.locks.registry import BUILT_IN

Target = Literal["lock", "program"]
NONE, SHORT, LONG = WANTED = ("none", "short", "long")
"""The values of `--faults`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault: its name in the table, what it is made to, and what it does in a sentence.

    `target` is the lock of a scenario, or a program that races alone. `whom` it is made to and `what` is done say which
    plan makes it (`lab.race.fault_plan`). It is raced for `seconds`, in as many trials as fit; 0 is one trial, in which
    the fault is made once. A stop lasts `stop_s`. A `long` fault is made only with `--faults long`.
    """

    name: str
    target: Target
    summary: str
    whom: Literal["holder", "waiter", "worker"]
    what: Literal["kill", "stop", "signal", "isolate"]
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


def _stopped(seconds: int, *, long: bool = False) -> Fault:
    summary = f"the holder is stopped inside the lock for {seconds} s, and goes on"
    return Fault(f"holder stopped {seconds} s", "lock", summary, "holder", "stop", stop_s=seconds, long=long)


FAULTS = (
    Fault("holder killed", "lock", "holders are killed inside the lock while others wait", "holder", "kill", 2.0),
    Fault("waiter killed", "lock", "processes are killed while they wait for the lock", "waiter", "kill", 1.0),
    _stopped(1),
    _stopped(5),
    _stopped(15, long=True),
    Fault("waiter signalled", "lock", "those that wait get signals that they handle", "waiter", "signal", 1.0),
    Fault("own pid namespace", "lock", "each worker has a pid namespace, as in a container", "worker", "isolate", 0.5),
)
"""All faults, in the order of their rows."""


def faults_for(target: Target, wanted: str, lock: str = "") -> list[Fault]:
    """Return the faults of a case whose lock has this name; `wanted` is the value of `--faults`, empty if not given.

    By default a lock of the user and a program alone have the short ones, a lock that comes with the lab has none.
    Raises UsageError for another value.
    """
    if wanted not in ("", *WANTED):
        raise UsageError(f"--faults: {wanted!r} is none of {', '.join(WANTED)}")
    asked = wanted or (NONE if target == "lock" and lock in BUILT_IN else SHORT)
    return [fault for fault in FAULTS if asked != NONE and fault.target == target and (asked == LONG or not fault.long)]
