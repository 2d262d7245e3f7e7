"""The races behind the cells `processes` and `kill`: one meeting is not exclusion, so several processes meet often.

Every hold is recorded, and two that overlap are a lock that does not exclude. Workers meet in two ways, one after the
other: they yield the processor inside the lock, all on one; and they sleep inside it, where those who wait by polling
would otherwise find it free. In the races with deaths each worker also starts a helper that is killed inside the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import Structure, c_uint64
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from time import monotonic, sleep

from lab.analysis.statistics import detection_limit, one_in, plural, requests_for
from lab.locks import Action, GaveUp, Lock, prepared
from lab.race import Case, Setting, race_for
from lab.records import Case as Row
from lab.records import Shown
from lab.scenario import Damage, Found, Outcome, Scenario, Worker

from .observations import Found as Finding
from .observations import unclear

WORKERS = 4
NAMES = "A to D"
RACE_S = 0.5
"""How long one race takes, where a cell has that much time."""

ENOUGH = requests_for(0.001)
"""Requests that meet a holder after which no further race is run."""

DEATHS = 100
"""After which no further race with deaths is run."""

INSIDE_S, AFTER_S = 0.0005, 0.0003
"""How long a worker sleeps inside the lock, and before it asks again."""

ROUNDS = 20_000
FEW_ROUNDS = 3
"""Of a trial with deaths: who waits by polling is slow, and each round has a hand-over more."""

HUNG_S = 30.0
"""After which a trial counts as hung; on a busy machine the slowest that poll take seconds."""

AGAIN_S = 0.001
"""How long to wait before a lock is asked again that gave up."""


class Meeting(Scenario):
    """Every worker adds 1 under the lock, and yields the processor in the middle."""

    worlds = frozenset({"race"})
    rounds = ROUNDS
    holds_per_round = 1
    pin = "one"

    class Memory(Structure):
        """One counter."""

        _fields_ = (("value", c_uint64),)

    def work(self, w: Worker) -> None:
        """Load, let others in where the lock does, store."""
        with w.write_lock():
            value = w.memory.value
            self.inside(w)
            w.memory.value = value + 1
        self.after()

    def inside(self, w: Worker) -> None:
        """Between the load and the store."""
        w.pause()

    def after(self) -> None:
        """Before the next round."""

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        """Each round adds 1."""
        lost = outcome.rounds - memory.value
        return Damage("lost update", lost, outcome.rounds, [f"value is {memory.value:,} after {outcome.rounds:,}"])


class Sleeping(Meeting):
    """The same, asleep in the middle, and before the next round."""

    pin = "none"

    def inside(self, w: Worker) -> None:
        """Those who wait by polling look meanwhile."""
        sleep(INSIDE_S)

    def after(self) -> None:
        """One of those who wait finds the lock free."""
        sleep(AFTER_S)


class Dying(Meeting):
    """Every round a helper is killed inside the lock, while others wait for it; then the worker adds 1 under it."""

    rounds = FEW_ROUNDS
    pin = "none"

    def work(self, w: Worker) -> None:
        """A death, and a hold."""
        w.child(killed).wait()
        super().work(w)


def killed(w: Worker) -> None:
    """The helper's life: it dies with the lock."""
    with w.write_lock():
        w.die()


class Insisting:
    """A lock that is asked again where it gave up: who was refused was kept out, and still wants to be let in."""

    def __init__(self, lock: Lock) -> None:
        self.name, self.summary = lock.name, lock.summary
        self.has_ranges, self.excludes = lock.has_ranges, lock.excludes
        self._lock = lock

    @contextmanager
    def prepared(self, path: str) -> Iterator[Lock]:
        """See `lab.locks.prepared`."""
        with prepared(self._lock, path) as lock:
            yield Insisting(lock)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """The lock's own, but for an acquire that does not give up."""
        acquire, release = self._lock.actions(descriptor, start, length, write=write)
        return lambda: insist(acquire), release


def insist(acquire: Action, refused: Callable[[], object] = lambda: None) -> None:
    """Acquire, however often the lock gives up; each time `refused` hears of it."""
    while True:
        try:
            acquire()
        except GaveUp:
            refused()
            sleep(AGAIN_S)
        else:
            return


def exclusion(lock: Lock, folder: Path, limit_s: float) -> Finding:
    """Whether the lock keeps processes apart that meet often, and how rare a false grant would have been noticed."""
    until = monotonic() + limit_s
    rows: list[Row] = []
    for kind in cycle((Meeting, Sleeping)):
        rows.append(_race(kind, lock, folder, limit_s))
        broken, met = _broken(rows), sum(row.contended_requests for row in rows)
        if broken or met >= ENOUGH or monotonic() > until:
            break
    shown = Shown(NAMES, f"race, {_rounds(rows)}", f"{plural(met, 'request')} met a holder: {_outcome(rows)}")
    if broken:
        return replace(broken, run=[shown])
    limit = detection_limit(met)
    if limit is None:
        return unclear("in a race no request met a holder; --seconds gives more", [shown])
    return Finding("yes", f"detects {one_in(limit)} false grants", run=[shown], detection_limit=limit)


def deaths(lock: Lock, folder: Path, limit_s: float) -> Finding:
    """Whether the lock keeps processes apart after a holder was killed while several waited for it; "both" if not."""
    until = monotonic() + limit_s
    rows: list[Row] = []
    died = 0
    while died < DEATHS and (not rows or monotonic() < until) and not _broken(rows):
        rows.append(_race(Dying, lock, folder, limit_s))
        died += rows[-1].operations
    shown = Shown(NAMES, f"race, {plural(died, 'holder')} killed in it", _outcome(rows))
    if broken := _broken(rows):
        return replace(broken, value="both" if broken.value == "no" else broken.value, run=[shown])
    return Finding(
        "yes", f"of {plural(died, 'death')} none let two in", run=[shown], detection_limit=detection_limit(died)
    )


def _race(kind: type[Scenario], lock: Lock, folder: Path, limit_s: float) -> Row:
    """One race through pread and pwrite: of a filesystem it takes no more than the lock does."""
    setting = Setting(
        scenario=kind(),
        lock=Insisting(lock) if lock.excludes else lock,
        backing="stream",
        workers=WORKERS,
        rounds=kind.rounds,
        pin=kind.pin,
        window_ns=0,
        leak=0.0,
        time_limit_s=max(HUNG_S, limit_s),
        seed=f"survey/{kind.__name__}/{lock.name}",
    )
    return race_for(Case(Found("survey", kind, "", Path(__file__)), setting), [folder], min(RACE_S, limit_s))


def _broken(rows: Sequence[Row]) -> Finding | None:
    """What speaks against the lock: holds that overlapped, data that was lost; or why it is not known."""
    for row in rows:
        if row.overlapping_holds or row.damage:
            first = row.overlaps[0] if row.overlaps else row.damage[0].evidence[0]
            return Finding("no", f"{_outcome(rows)}; {first}")
    for row in rows:
        if row.verdict == "timeout":  # who is never let in was kept out
            return Finding("yes", f"a race did not end: {row.reason}")
        if row.verdict != "clean":
            return unclear(f"a race ended with {row.verdict}: {row.reason}")
    return None


def _outcome(rows: Sequence[Row]) -> str:
    overlaps = sum(row.overlapping_holds for row in rows)
    lost = sum(row.damaged for row in rows)
    return f"{plural(overlaps, 'overlap')}" + (f", {plural(lost, 'lost update')}" if lost else "")


def _rounds(rows: Sequence[Row]) -> str:
    return plural(sum(row.operations for row in rows), "round")
