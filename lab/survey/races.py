"""Run the races behind the cells of the survey: one experiment does not prove exclusion, so many holds meet.

Every hold is recorded, and two that overlap show a lock that does not exclude. The holds meet in two ways, one after
the other: the workers yield the processor inside the lock, all on one; and they sleep inside it, where requests that
poll would otherwise find it free. The cells `kill`, `signal` and `namespace` come from races in which the faults of
`race --faults` are made (`lab.racing.faults`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import Structure, c_uint64
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from time import monotonic, sleep

from lab.analysis.statistics import detection_limit, one_in, plural, requests_for
from lab.locking import Action, GaveUp, Lock, prepared
from lab.racing import Case, Setting, race_for
from lab.racing.faults import Fault, find_fault
from lab.records import ActorCall
from lab.records import Case as Row
from lab.scenario import Damage, Found, Outcome, Scenario, Worker


@dataclass(frozen=True, slots=True)
class Finding:
    """A value of `LockCell`, the reason where it needs one, and the samples that were measured meanwhile, in ns.

    `run` are calls that are not written down on the stage; `detection_limit` is as in `LockCell`.
    """

    value: str
    reason: str = ""
    samples_ns: list[float] = field(default_factory=list)
    run: list[ActorCall] = field(default_factory=list)
    detection_limit: float | None = None


YES, NO = Finding("yes"), Finding("no")


def unclear(reason: str, run: Sequence[ActorCall] = ()) -> Finding:
    """Return the finding that nothing is clear, with its reason."""
    return Finding("?", reason, run=list(run))


WORKERS = 4
NAMES = "A to D"
RACE_S = 0.5
"""The time that one race takes, in seconds, where a cell has that much time."""

ENOUGH = requests_for(0.001)
"""The number of requests that meet a holder after which no further race is run."""

MADE = 100
"""The number of faults after which no further race with them is run."""

INSIDE_S, AFTER_S = 0.0005, 0.0003
"""The times, in seconds, that a worker sleeps inside the lock, and before it requests it again."""

ROUNDS = 20_000
FEW_ROUNDS = 3
"""The rounds of the first trial with faults: requests that poll are slow, and each round has one more hand-over."""

HUNG_S = 30.0
"""The time, in seconds, after which a trial counts as hung; on a busy machine the slowest locks take seconds."""

STANDS_S, MOST_LIMITS = 5.0, 6
"""The time, in seconds, after which a trial with faults counts as hung, and how often it has it if rounds are done."""

AGAIN_S = 0.001
"""The time, in seconds, to wait before a lock that gave up is requested again."""


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
        """Load, yield to others if the lock works so, and store."""
        with w.write_lock():
            value = w.memory.value
            self.inside(w)
            w.memory.value = value + 1
        self.after()

    def inside(self, w: Worker) -> None:
        """Wait between the load and the store."""
        w.pause()

    def after(self) -> None:
        """Wait before the next round."""

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        """Compare the counter: each round adds 1."""
        lost = outcome.rounds - memory.value
        return Damage("lost update", lost, outcome.rounds, [f"value is {memory.value:,} after {outcome.rounds:,}"])


class Sleeping(Meeting):
    """The same as `Meeting`, but the worker sleeps in the middle, and before the next round."""

    pin = "none"

    def inside(self, w: Worker) -> None:
        """Sleep: requests that poll look meanwhile."""
        sleep(INSIDE_S)

    def after(self) -> None:
        """Sleep: one of the polling requests finds the lock free."""
        sleep(AFTER_S)


class Insisting:
    """A lock that is requested again where it gave up: the request was kept out, and still has to be granted."""

    def __init__(self, lock: Lock) -> None:
        self.name, self.summary = lock.name, lock.summary
        self.has_ranges, self.excludes = lock.has_ranges, lock.excludes
        self._lock = lock

    @contextmanager
    def prepared(self, path: str) -> Iterator[Lock]:
        """See `lab.locking.prepared`."""
        with prepared(self._lock, path) as lock:
            yield Insisting(lock)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Return the lock's own actions, with an acquire that does not give up."""
        acquire, release = self._lock.actions(descriptor, start, length, write=write)
        return lambda: insist(acquire), release


def insist(acquire: Action, refused: Callable[[], object] = lambda: None) -> None:
    """Acquire, however often the lock gives up; `refused` is called each time."""
    while True:
        try:
            acquire()
        except GaveUp:
            refused()
            sleep(AGAIN_S)
        else:
            return


def exclusion(lock: Lock, folder: Path, limit_s: float) -> Finding:
    """Tell whether the lock excludes processes that meet often, and which rate of false grants would be noticed."""
    until = monotonic() + limit_s
    rows: list[Row] = []
    for kind in cycle((Meeting, Sleeping)):
        rows.append(_race(kind, lock, folder, limit_s))
        broken, contended = _broken(rows), sum(row.contended_requests for row in rows)
        if broken or contended >= ENOUGH or monotonic() > until:
            break
    rounds = plural(sum(row.operations for row in rows), "round")
    shown = ActorCall(NAMES, f"race, {rounds}", f"{plural(contended, 'request')} met a holder: {_outcome(rows)}")
    if broken:
        return replace(broken, run=[shown])
    limit = detection_limit(contended)
    if limit is None:
        return unclear("in a race no request met a holder; --seconds gives more", [shown])
    return Finding("yes", f"detects {one_in(limit)} false grants", run=[shown], detection_limit=limit)


def race_with(name: str, worse: str) -> Callable[[Lock, Path, float], Finding]:
    """Return the race in which this fault is made, again and again; it finds `worse` if two processes held the lock.

    It finds "fails" where a request ended with an error, "hangs" where nobody was let in any more, and "-" where the
    fault cannot be made here.
    """
    fault = find_fault("lock", name)

    def race(lock: Lock, folder: Path, limit_s: float) -> Finding:
        enough = WORKERS if fault.what == "isolate" else MADE
        until = monotonic() + limit_s
        rows: list[Row] = []
        made = 0
        while not rows or (0 < made < enough and monotonic() < until and not _broken(rows)):
            rows.append(_race(Meeting, lock, folder, limit_s, fault))
            made += rows[-1].faults_made
        shown = ActorCall(NAMES, f"race, {name} {plural(made, 'time')}", _outcome(rows))
        if rows[-1].verdict == "unsupported":
            return Finding("-", rows[-1].reason)
        if rows[-1].verdict == "died" and not fault.kills and not rows[-1].overlapping_holds:
            return Finding("fails", rows[-1].reason, run=[shown])
        if rows[-1].verdict == "timeout":
            return Finding("hangs", f"{name}: {rows[-1].reason}", run=[shown])
        if broken := _broken(rows):
            return replace(broken, value=worse if broken.value == "no" else broken.value, run=[shown])
        reason = f"{name} {plural(made, 'time')}: no two processes held it"
        return Finding("yes", reason, run=[shown], detection_limit=detection_limit(made))

    return race


def _race(kind: type[Scenario], lock: Lock, folder: Path, limit_s: float, fault: Fault | None = None) -> Row:
    """Run one race through pread and pwrite: it needs nothing of a filesystem but what the lock needs."""
    setting = Setting(
        scenario=kind(),
        lock=Insisting(lock) if lock.excludes else lock,
        backing="stream",
        workers=WORKERS,
        rounds=kind.rounds,
        pin="none" if fault else kind.pin,
        window_ns=0,
        leak=0.0,
        time_limit_s=STANDS_S if fault else max(HUNG_S, limit_s),
        most_limits=MOST_LIMITS if fault else 1,
        seed=f"survey/{kind.__name__}/{lock.name}",
        fault=fault,
    )
    case = Case(Found("survey", kind, "", Path(__file__)), setting)
    seconds = min(RACE_S, limit_s)
    return race_for(case, [folder], seconds, FEW_ROUNDS) if fault else race_for(case, [folder], seconds)


def _broken(rows: Sequence[Row]) -> Finding | None:
    """Return the evidence against the lock: holds that overlapped, data that was lost; or why the result is unclear."""
    for row in rows:
        if row.overlapping_holds or row.damage:
            first = row.overlaps[0] if row.overlaps else row.damage[0].evidence[0]
            return Finding("no", f"{_outcome(rows)}; {first}")
    for row in rows:
        if row.verdict == "timeout":  # a request that is never granted was kept out
            return Finding("yes", f"a race did not end: {row.reason}")
        if row.verdict != "clean":
            return unclear(f"a race ended with {row.verdict}: {row.reason}")
    return None


def _outcome(rows: Sequence[Row]) -> str:
    overlaps = sum(row.overlapping_holds for row in rows)
    lost = sum(row.damaged for row in rows)
    return f"{plural(overlaps, 'overlap')}" + (f", {plural(lost, 'lost update')}" if lost else "")
