"""Write a crash as one word to paste: what the workers did, who was killed or what was old on the disk, who recovered.

    L2,undo_journal,fcntl,1x1,32,5f3a9c,power.4096,0x11.a3+p0@4+r1x9.9c,7be2

The parts are those of a schedule's token (`lab.exploring.token`), with the kind of crash and the unit of the disk in
bytes before the events. These are, in their order: `0x11.a3`, worker 0 did 11 steps, with a fingerprint of their
operations; `k0`, it was killed; `p0@4`, the power failed, and unit 0 was as after step 4; `r1x9.9c`, the next one
recovered and did 9 steps, with 1 round of work after recovery.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lab.errors import UsageError
from lab.exploring.token import AGAIN, MOST_LINE, Token, check_bounds, fingerprint, joined, parts_of, where
from lab.exploring.token import read as read_schedule
from lab.scenario import Found

VERSION, FIELDS = "L2", 9


class Event(NamedTuple):
    """One event: "x" steps of a worker, "k" its end, "p" a power failure, or "r" steps of the one that recovers.

    For "r" `worker` is the number of its rounds after recovery. `old` are units with the step after which each was as
    it is on the disk.
    """

    kind: str
    worker: int = 0
    steps: int = 0
    operations: str = ""
    old: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        if self.kind == "p":
            return "p" + "_".join(f"{unit}@{step}" for unit, step in self.old)
        if self.kind == "k":
            return f"k{self.worker}"
        return f"{'r' if self.kind == 'r' else ''}{self.worker}x{self.steps}.{self.operations}"

    @classmethod
    def read(cls, text: str) -> Event:
        """Read one event. Raises ValueError for what is none."""
        if text.startswith("p"):
            old = (each.split("@") for each in text[1:].split("_") if each)
            return cls("p", old=tuple((int(unit), int(step)) for unit, step in old))
        if found := re.fullmatch(r"k(\d+)", text):
            return cls("k", int(found[1]))
        found = re.fullmatch(r"(r?)(\d+)x(\d+)\.([0-9a-f]*)", text)
        if not found:
            raise ValueError(text)
        return cls(found[1] or "x", int(found[2]), int(found[3]), found[4])


@dataclass(frozen=True, slots=True)
class Script:
    """The contents of a token of a crash; `unit` is 0 where workers are killed."""

    scenario: str
    lock: str
    workers: int
    rounds: int
    line: int
    fingerprint: str
    kind: str
    unit: int
    events: tuple[Event, ...]

    def __str__(self) -> str:
        shape, crash, events = (
            f"{self.workers}x{self.rounds}",
            f"{self.kind}.{self.unit}",
            "+".join(map(str, self.events)),
        )
        return joined(VERSION, self.scenario, self.lock, shape, str(self.line), self.fingerprint, crash, events)


def make(
    found: Found, lock: str, shape: tuple[int, int, int], crash: tuple[str, int], events: Sequence[Event]
) -> Script:
    """Make the token of these events; `shape` is workers, rounds and line, `crash` its kind and the unit."""
    return Script(where(found), lock, *shape, fingerprint(found), *crash, tuple(events))


def is_crash(text: str) -> bool:
    """Return True where the pasted token is that of a crash, and not of a schedule."""
    return text.strip().partition(",")[0] == VERSION


def read_any(text: str) -> Token | Script:
    """Return the pasted token of a crash or of a schedule. Raises UsageError for one that is neither."""
    return read(text) if is_crash(text) else read_schedule(text)


def read(text: str) -> Script:
    """Return the pasted token. Raises UsageError for one that is cut short or mistyped."""
    scenario, lock, shape, line, its, crash, events = parts_of(text, FIELDS)
    try:
        workers, rounds = map(int, shape.split("x"))
        kind, _, unit = crash.partition(".")
        told = tuple(map(Event.read, events.split("+")))
        script = Script(scenario, lock, workers, rounds, int(line), its, kind, int(unit), told)
        _check(script)
    except ValueError as error:
        raise UsageError(f"the token says nothing sensible ({error}); {AGAIN}") from error
    return script


def _check(script: Script) -> None:
    """Raise ValueError for more than a crash can have: its memory is laid out before it is tried."""
    check_bounds(script.workers, script.rounds, script.line, sum(event.steps for event in script.events))
    if script.kind not in ("kill", "power") or not 0 <= script.unit <= MOST_LINE:
        raise ValueError(f"{script.kind}.{script.unit}: out of range")
