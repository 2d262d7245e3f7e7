"""Run one invocation of `locks`: every property of every lock, and the record of it.

The table of properties is here too: each has an experiment and a description of how it is observed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import sleep
from typing import NamedTuple

from lab.errors import CannotRunError, LabError, unknown
from lab.host.environment import RunStart, anonymous_text, environment
from lab.locking import RECORDER, Lock, abilities, find_lock, lock_names
from lab.memory import Folder, workspace
from lab.records import ActorCall, ComparedLock, LockCell, LockSurvey, Property

from . import experiments, races
from .actor import Stage, Unclear
from .races import Finding

PROCESSES, KILL, PAUSE, SIGNAL, NAMESPACE = "processes", "kill", "pause", "signal", "namespace"
ORDER, PAIR, HAND_OVER = "order", "pair", "hand-over"


class Play(NamedTuple):
    """A property by its name, how it is observed, and the experiment that observes it.

    A race follows where the experiment says "yes", or there is none, and a race is given.
    """

    name: str
    how: str
    perform: Callable[[Stage], Finding] | None
    race: Callable[[Lock, Path, float], Finding] | None = None


PLAYS = (
    Play(PROCESSES, "keeps out other processes, in one meeting and in races", experiments.processes, races.exclusion),
    Play("threads", "keeps out a second thread that opens the file for itself", experiments.threads),
    Play("opens", "keeps out the holder's own second open of the file: it waits for itself", experiments.opens),
    Play("readers", "lets two readers in at once, and no writer beside them", experiments.readers),
    Play("ranges", "lets two processes hold two ranges of one file at once", experiments.ranges),
    Play(
        KILL,
        "is released when its holder is killed; both: two that wait are granted it",
        experiments.kill,
        races.race_with("holder killed", "both"),
    ),
    Play(
        SIGNAL,
        "keeps out a request that handles signals while it waits; fails: the request ends with an error",
        None,
        races.race_with("waiter signalled", "no"),
    ),
    Play(
        NAMESPACE,
        "keeps processes out that have a pid namespace each, as in containers; fails, hangs: it does not work there",
        None,
        races.race_with("own pid namespace", "no"),
    ),
    Play("close", "stays when its holder opens and closes the file once more", experiments.close),
    Play("fork", "keeps out a child that the holder forks", experiments.fork),
    Play("exit", "stays when that child exits", experiments.child_exits),
    Play("child", "is released when its holder unlocks, though that child lives on", experiments.child_lives),
    Play("unlock", "stays when that child unlocks", experiments.child_unlocks),
    Play("exec", "stays over execve; open: only where its descriptor is left open", experiments.execve),
    Play("deadlock", "refuses one of two who wait for each other; no: both wait for ever", experiments.deadlock),
    Play(
        ORDER,
        "requests that wait are granted: fifo in order of arrival, other in another, polls: who looks first",
        experiments.order,
    ),
    Play(PAIR, "lock and unlock when nobody else wants it, median", experiments.pair),
)

PAUSED = "stays while its holder is stopped (SIGSTOP), for {:g} s"
"""The description of how the pause is observed, of all locks at the same time."""

HANDED_OVER = "from the unlock of one process to the lock of one that waits, median"
"""The description of how the hand-over is observed; it is measured together with the order."""

CLAIMS = {"ranges": "ranges", "readers": "readers", "threads": "threads", "fork": "fork", "kill": "survives_kill"}
"""Properties that a lock may claim to have (`lab.locking.Abilities`), by the claim's name there."""


PAUSE_S = 4.0
"""The time for which a holder is stopped, in seconds.

It is longer than a lock waits for a holder that it takes for dead, which is mostly 1 to 3 s.
"""

STOPPED = Finding("stopped")
"""The finding of an experiment that waits for the end of the pause."""

BY_PATIENCE = "it is taken from any holder after a time, dead or not: see pause"

YES_NO = {True: "yes", False: "no"}


class Candidate(NamedTuple):
    """A lock that is to be observed, or the reason why it cannot be."""

    name: str
    lock: Lock | None
    trouble: str = ""


def find_candidates(names: Sequence[str]) -> list[Candidate]:
    """Return the locks of these names, or all. Raises LabError where one that was named is not available."""
    if names:
        return [Candidate(name, find_lock(name)) for name in dict.fromkeys(names)]
    return [_found(name) for name in lock_names()]


def _found(name: str) -> Candidate:
    try:
        return Candidate(name, find_lock(name))
    except LabError as error:
        return Candidate(name, None, str(error))


def compare(
    candidates: Iterable[Candidate],
    directory: Path,
    limit_s: float,
    tell: Callable[[str], None],
    pause_s: float = PAUSE_S,
) -> LockSurvey:
    """Observe every lock, in a fresh directory inside this one, each cell for at most this many seconds.

    Holders are stopped for `pause_s`, those of all locks at the same time. Raises CannotRunError where the directory
    cannot be used.
    """
    begun = RunStart()
    locks: list[ComparedLock] = []
    cells: dict[str, dict[str, LockCell]] = {}
    found: dict[str, Lock] = {}
    pause_s = min(pause_s, limit_s)
    with workspace(directory) as folder:
        for each in candidates:
            tell(each.name)
            trouble = each.trouble
            try:
                if each.lock:
                    cells[each.name] = _cells_of(each.name, each.lock, folder, limit_s)
                    found[each.name] = each.lock
            except CannotRunError as error:
                trouble = str(error)
            locks.append(ComparedLock(each.name, each.lock.summary if each.lock else "", anonymous_text(trouble)))
        tell(f"holders stopped for {pause_s:g} s")
        for name, cell in _paused(found, cells, folder, limit_s, pause_s):
            cells[name][PAUSE] = cell
            if cell.value == "no":  # whether a dead holder's lock was granted in time depended on the machine
                kill = replace(cells[name][KILL], value="no", reason=BY_PATIENCE, detection_limit=None)
                cells[name][KILL] = _judge(kill, found[name])
        where = environment(folder, begun.load, RECORDER)
    return LockSurvey(
        **begun.header(where),
        directory=anonymous_text(str(directory)),
        seconds=limit_s,
        locks=locks,
        properties=_properties(pause_s),
        cells=[cells[each.name] for cells in cells.values() for each in _properties(pause_s)],
        pause_s=pause_s,
    )


def _properties(pause_s: float) -> list[Property]:
    """Return the properties in the order of the columns."""
    listed = [Property(each.name, each.how) for each in PLAYS]
    listed.insert([each.name for each in listed].index(KILL) + 1, Property(PAUSE, PAUSED.format(pause_s)))
    return [*listed, Property(HAND_OVER, HANDED_OVER)]


def needs_of(names: Sequence[str]) -> list[str]:
    """Return the properties of these names, each once. Raise UsageError for one that is no property, or is a cost."""
    known = [each.name for each in _properties(PAUSE_S) if each.name not in (PAIR, HAND_OVER)]
    for name in names:
        if name not in known:
            raise unknown("need", name, known)
    return list(dict.fromkeys(names))


def _cells_of(name: str, lock: Lock, folder: Path, limit_s: float) -> dict[str, LockCell]:
    """Return the cells of one lock, except the pause."""
    cells: dict[str, LockCell] = {}
    for play in PLAYS:
        found, run = _out_of_question(play.name, cells), []
        if not found:
            found = Finding("yes")
            if play.perform:
                with Stage(lock, folder, limit_s, {each: cell.value for each, cell in cells.items()}) as stage:
                    found = _performed(partial(play.perform, stage))
                run = stage.calls
            if play.race and found.value == "yes" and lock.excludes:
                race = play.race(lock, folder, limit_s)  # repeats many times what the experiment showed once
                found = replace(race, reason="; ".join(filter(None, [found.reason, race.reason])))
        cells[play.name] = _judge(_cell(name, play.name, found, [*run, *found.run]), lock)
    handed = cells[ORDER]
    value = "measured" if handed.samples_ns else handed.value
    cells[ORDER] = replace(handed, samples_ns=[], median_ns=None)
    cells[HAND_OVER] = replace(handed, property=HAND_OVER, value=value)
    return cells


def _paused(
    locks: Mapping[str, Lock], cells: Mapping[str, Mapping[str, LockCell]], folder: Path, limit_s: float, pause_s: float
) -> Iterator[tuple[str, LockCell]]:
    """Return the cell of each lock for the pause; all holders are stopped at the same time."""
    with ExitStack() as stack:
        begun: dict[str, tuple[Stage, Generator[None, None, Finding]]] = {}
        for number, (name, lock) in enumerate(locks.items()):
            if out := _out_of_question(PAUSE, cells[name]):
                yield name, _cell(name, PAUSE, out, [])
                continue
            own = Folder.make(folder / f"paused-{number}")
            stack.callback(own.remove)
            stage = stack.enter_context(Stage(lock, own.path, pause_s + 2 * limit_s, {}))
            begun[name] = stage, experiments.pause(stage)
        found = {name: _performed(partial(_advanced, play)) for name, (_, play) in begun.items()}
        sleep(pause_s if begun else 0)
        for name, (stage, play) in begun.items():
            if found[name] is STOPPED:
                found[name] = _performed(partial(_advanced, play))
            yield name, _judge(_cell(name, PAUSE, found[name], stage.calls), locks[name])


def _advanced(play: Generator[None, None, Finding]) -> Finding:
    """Return the finding of an experiment that waits once on its way; STOPPED where it has come so far."""
    try:
        next(play)
    except StopIteration as ended:
        found: Finding = ended.value
        return found
    return STOPPED


def _out_of_question(name: str, cells: Mapping[str, LockCell]) -> Finding | None:
    """Return what is known without an experiment: a lock that excludes no process has a cost and nothing else."""
    excludes = "yes" if name == PROCESSES else cells[PROCESSES].value
    if excludes == "yes" or (excludes == "no" and name == PAIR):
        return None
    if excludes == "no":
        return Finding("-", "it does not keep others out")
    return Finding("?", f"{PROCESSES}: {cells[PROCESSES].reason}")


def _performed(play: Callable[[], Finding]) -> Finding:
    try:
        return play()
    except Unclear as unclear:
        return Finding("?", str(unclear))


def _cell(lock: str, name: str, found: Finding, run: list[ActorCall]) -> LockCell:
    return LockCell(
        lock=lock,
        property=name,
        value=found.value,
        reason=anonymous_text(found.reason),
        run=[replace(each, result=anonymous_text(each.result)) for each in run],
        samples_ns=found.samples_ns,
        median_ns=median(found.samples_ns) if found.samples_ns else None,
        detection_limit=found.detection_limit,
    )


def _judge(cell: LockCell, lock: Lock) -> LockCell:
    """Return the cell with the verdict: the finding compared with what the lock claims."""
    claimed = _claim_of(cell.property, lock)
    if (cell.property, cell.value) in ((KILL, "both"), (PAUSE, "no"), (SIGNAL, "no"), (NAMESPACE, "no")):
        claimed = YES_NO[lock.excludes]  # it is no lock that yields to a fault
    return replace(cell, claimed=claimed, ok=cell.value in ("-", "?") or claimed in ("", cell.value))


def _claim_of(name: str, lock: Lock) -> str:
    claims = abilities(lock)
    if name == PROCESSES:
        return YES_NO[lock.excludes]
    return YES_NO[getattr(claims, CLAIMS[name])] if claims and name in CLAIMS else ""
