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

    `target` is the lock of a scenario, or a program that races alone. A `long` fault is made only with `--faults long`.
    Where a fault `kills`, a worker's round may be half done, so the check of the data is not used.
    """

    name: str
    target: Target
    summary: str
    long: bool = False
    kills: bool = False


FAULTS: tuple[Fault, ...] = ()
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
