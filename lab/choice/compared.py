"""One invocation of `locks`: every property of every lock, and the record of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from lab.environment import Begun, anonymous_text, environment
from lab.errors import CannotRunError, LabError
from lab.locks import RECORDER, Lock, abilities, find_lock, lock_names
from lab.regions import workspace
from lab.results import SCHEMA, ComparedLock, LockCell, LocksCompared, Property, Shown

from .found import Found
from .properties import CLAIMS, HAND_OVER, HANDED_OVER, ORDER, PAIR, PLAYS, PROCESSES, Play
from .stage import Stage, Unclear

YES_NO = {True: "yes", False: "no"}


class Candidate(NamedTuple):
    """A lock that is to be looked at, or why it cannot be."""

    name: str
    lock: Lock | None
    trouble: str = ""


def find_candidates(names: Sequence[str]) -> list[Candidate]:
    """The locks of these names, or all. Raises LabError where one that was named cannot be had."""
    if names:
        return [Candidate(name, find_lock(name)) for name in dict.fromkeys(names)]
    return [_found(name) for name in lock_names()]


def _found(name: str) -> Candidate:
    try:
        return Candidate(name, find_lock(name))
    except LabError as error:
        return Candidate(name, None, str(error))


def compare(
    candidates: Iterable[Candidate], directory: Path, limit_s: float, tell: Callable[[str], None]
) -> LocksCompared:
    """Look at every lock, in a fresh directory inside this one, each cell for at most this many seconds.

    Raises CannotRunError where the directory cannot be used.
    """
    begun = Begun()
    locks: list[ComparedLock] = []
    cells: list[LockCell] = []
    with workspace(directory) as folder:
        for each in candidates:
            tell(each.name)
            trouble = each.trouble
            try:
                cells += _looked_at(each.name, each.lock, folder, limit_s) if each.lock else ()
            except CannotRunError as error:
                trouble = str(error)
            locks.append(ComparedLock(each.name, each.lock.summary if each.lock else "", anonymous_text(trouble)))
        where = environment(folder, begun.load, RECORDER)
    return LocksCompared(
        schema=SCHEMA,
        command="locks",
        started=begun.moment,
        wall_s=begun.wall_s,
        environment=where,
        directory=anonymous_text(str(directory)),
        seconds=limit_s,
        locks=locks,
        properties=[*(Property(each.name, each.how) for each in PLAYS), Property(HAND_OVER, HANDED_OVER)],
        cells=cells,
    )


def _looked_at(name: str, lock: Lock, folder: Path, limit_s: float) -> list[LockCell]:
    """The cells of one lock."""
    seen: dict[str, LockCell] = {}
    for play in PLAYS:
        found, run = _out_of_question(play, seen), []
        if not found:
            with Stage(lock, folder, limit_s, {each: cell.value for each, cell in seen.items()}) as stage:
                found = _performed(play, stage)
            run = stage.shown
        seen[play.name] = _judged(_cell(name, play, found, run), lock)
    handed = seen[ORDER]
    value = "measured" if handed.samples_ns else handed.value
    seen[ORDER] = replace(handed, samples_ns=[], median_ns=None)
    return [*seen.values(), replace(handed, property=HAND_OVER, value=value)]


def _out_of_question(play: Play, seen: Mapping[str, LockCell]) -> Found | None:
    """What there is to say without a play: a lock that keeps no process out has a cost, and no other properties."""
    excludes = "yes" if play.name == PROCESSES else seen[PROCESSES].value
    if excludes == "yes" or (excludes == "no" and play.name == PAIR):
        return None
    if excludes == "no":
        return Found("-", "nobody is kept out")
    return Found("?", f"{PROCESSES}: {seen[PROCESSES].reason}")


def _performed(play: Play, stage: Stage) -> Found:
    try:
        return play.perform(stage)
    except Unclear as unclear:
        return Found("?", str(unclear))


def _cell(name: str, play: Play, found: Found, run: list[Shown]) -> LockCell:
    return LockCell(
        lock=name,
        property=play.name,
        value=found.value,
        reason=anonymous_text(found.reason),
        run=[replace(each, came_to=anonymous_text(each.came_to)) for each in run],
        samples_ns=found.samples_ns,
        median_ns=median(found.samples_ns) if found.samples_ns else None,
    )


def _judged(cell: LockCell, lock: Lock) -> LockCell:
    """The cell, held against what the lock claims."""
    claimed = _claimed(cell.property, lock)
    return replace(cell, claimed=claimed, ok=cell.value in ("-", "?") or claimed in ("", cell.value))


def _claimed(name: str, lock: Lock) -> str:
    claims = abilities(lock)
    if name == PROCESSES:
        return YES_NO[lock.excludes]
    return YES_NO[getattr(claims, CLAIMS[name])] if claims and name in CLAIMS else ""
