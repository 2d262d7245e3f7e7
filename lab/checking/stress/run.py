"""Run the stress: workers race on all directories at once, for each guarantee.

First each lock is tried alone, to learn whether it answers and how long a request takes.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Protocol

from lab.checking.actors.controller import HANDOFFS
from lab.checking.guarantees import EXCLUSION, LOCK_FILES, UNCONTENDED
from lab.errors import CannotRunError
from lab.locking import Action, Lock, find_lock
from lab.locking.registry import REFUSED, polled
from lab.memory import anonymous, find_backing, probe_backing, scratch
from lab.processes import TOUCH_S, Exit, WorkerPool, cpus_for, detach_output, doing
from lab.racing import Case, Setting, race_for, untried
from lab.racing.mailbox import late
from lab.racing.timed import FIRST_ROUNDS
from lab.racing.trial import Result
from lab.records import Case as Row
from lab.records import CheckVerdict, Failure, StressResult
from lab.scenario import Found, find_scenarios

from . import on_hosts
from .lock_files import NameLock, made_in
from .plan import OWN_FILES, Entry, planned
from .scenarios import OWN, Cleared, OwnFiles
from .wording import with_reasons_of_check

LOCKS = tuple(EXCLUSION.values())
TRIES = 20
PATIENCE_S = 2.0
"""The longest time of a lock for all its tries on all directories; NFSv4 takes up to 20 ms for a pair."""

TRIAL_S = 5.0

WORTH_SLEEPING_NS = 20_000
"""A pair of a kernel's own lock takes about 1,500 ns, one that a server answers 100,000."""

LONGEST_NS = 5_000_000
PAIRS_TO_HANG = 1000
ENOUGH_S = 5.0
"""A race over hosts in which the lock was not handed over often enough is raced again for so long."""

LEFT_TO_OTHERS_NS, PAIRS_LEFT = 1_000_000, 8
"""Over hosts a lock file is left to the others for so long, or for as long as so many pairs take."""

ROOM_S = 10.0
"""The longest time that the first trial of a race may take for hand-offs alone."""

LONGEST_S = 60.0
"""No trial may take longer for its hand-offs, however slow they are."""

FEW = 8
"""Each worker waits longer for its turn where there are more than this many."""


@dataclass(frozen=True, slots=True)
class Answering:
    """One lock here: `pair_ns`, the shortest request and release, on the slowest directory; `errno` of a refusal.

    `handoff_s` is the slowest hand-off to a waiter, 0 where it was not measured.
    """

    pair_ns: int = 0
    errno: int = 0
    hung: Failure | None = None
    handoff_s: float = 0.0

    @property
    def refused(self) -> bool:
        """Tell whether there is no such lock here; link(2) says EPERM where there are no hard links."""
        return self.errno in {*REFUSED, errno.EPERM}

    @property
    def window_ns(self) -> int:
        """Return the time in which a false grant to another comes back early enough to be seen; 0 where at once."""
        return 0 if self.pair_ns < WORTH_SLEEPING_NS else min(self.pair_ns, LONGEST_NS)

    def first_rounds(self, workers: int, most: int = FIRST_ROUNDS) -> int:
        """Return the rounds of the first trial: as many as fit into ROOM_S if each takes a hand-off of every worker."""
        fitting = ROOM_S / (workers * self.handoff_s) if self.handoff_s else most
        return max(1, min(most if not self.window_ns else FIRST_ROUNDS, int(fitting)))

    def time_limit_s(self, workers: int) -> float:
        """Return the time after which a trial of a few milliseconds hangs, also on a machine with other work.

        Where hand-offs are slow it is some hand-offs for each round of each worker, up to a ceiling.
        """
        handed_over = HANDOFFS * workers * self.first_rounds(workers) * self.handoff_s
        usual = max(TRIAL_S, PAIRS_TO_HANG * self.pair_ns / 1e9) * max(1.0, workers / FEW)
        return max(usual, min(LONGEST_S, handed_over))


def answering(folders: Sequence[Path], handoffs: Mapping[str, float] | None = None) -> dict[str, Answering]:
    """Try each lock in a child of its own, all at once: several that hang cost no more than one.

    `handoffs` are the slowest hand-offs in seconds, by the guarantees of the locks (`lab.checking.actors.pool`).
    """
    measured = {EXCLUSION[name]: seconds for name, seconds in (handoffs or {}).items()}
    words = memoryview(anonymous(2 * 8 * len(LOCKS))).cast("q")

    def prepare(index: int) -> Callable[[], None]:
        detach_output()
        return lambda: _measure(LOCKS[index], folders, words[2 * index : 2 * index + 2])

    with WorkerPool(len(LOCKS), prepare, cpus_for("none")) as pool:
        pool.gather(PATIENCE_S)
        pool.release()
        exits = pool.wait(PATIENCE_S)
    return {
        name: Answering(
            words[2 * index], words[2 * index + 1], _failure(name, ended), handoff_s=measured.get(name, 0.0)
        )
        for index, (name, ended) in enumerate(zip(LOCKS, exits, strict=True))
    }


def _measure(name: str, folders: Sequence[Path], told: memoryview) -> None:
    """Record the slowest pair, or the errno of a lock call: errors of making and removing a file are not the lock's."""
    with suppress(Exception):
        for folder in folders:
            with scratch(folder) as path, path.open("r+b", buffering=0) as file:
                pair_ns, told[1] = _pair(*find_lock(name).actions(file.fileno(), 0, 8, write=True))
                told[0] = max(told[0], pair_ns)
            if told[1]:
                return


def _pair(acquire: Action, release: Action) -> tuple[int, int]:
    """Return the shortest time of a request and a release, or the errno of one."""
    took = []
    try:
        for _ in range(TRIES):
            begun = monotonic_ns()
            acquire()
            release()
            took.append(monotonic_ns() - begun)
    except OSError as error:
        return 0, error.errno or 0
    return min(took), 0


def _failure(name: str, ended: Exit) -> Failure | None:
    if not ended.late:
        return None
    hangs = f"hangs{f' in {ended.where}' if ended.where else ''}: it does not end on SIGKILL"
    how = hangs if ended.code is None else f"was {late(ended, PATIENCE_S)}"
    reason = f"asked for the lock {name}, alone with a new file, and {how}"
    return Failure(0, ended.index, 0, "late", reason, pid=ended.pid or None, where=ended.where)


Announcer = Callable[[str], None]
UNABLE_TO_MAP = frozenset({errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP})
"""The errors of mmap(2) where the filesystem does not map."""

NOT_AS_MADE = re.compile(r"shows [\d,]+ of the [\d,]+ bytes of a file|does not show a file|cannot be read back")
"""The message about a file that was just made and whose size, or name, arrives late."""

MOST_LIMITS = 5
"""A trial whose workers still do rounds at its time limit is slow, as on a busy machine, and does not hang."""

MAPPINGS = ("mapped", "remapped")
BUS_ERROR = re.compile(r"SIG(BUS|SEGV)(?!.*no (room|space))", re.DOTALL)
ERRNO = re.compile(r"\[Errno (\d+)\]")
OF_THE_FILE = frozenset({errno.EIO, errno.ENODATA, errno.ENOENT, errno.ENXIO, errno.ESTALE, errno.EREMOTEIO})
"""The errors of a call on the file that no limit of the worker explains; ENODATA where it ends too early."""


def stress(
    folders: Sequence[Path],
    asked: Collection[str],
    seconds: float,
    seed: int,
    workers: int,
    tell: Announcer,
    handoffs: Mapping[str, float] | None = None,
    over: Over | None = None,
    asleep: Collection[str] = (),
) -> Iterator[StressResult]:
    """Race for these guarantees (`lab.checking.guarantees`) within about this many seconds, one after the other.

    `tell` receives the name of the next step; `handoffs` are the slowest hand-offs of the locks, by their guarantees.
    The locks of the guarantees `asleep` are known to leave waiters asleep: no race waits for them, as after a hang.

    Several folders are one directory seen through several mounts; files are made in them, and removed. With `over` the
    races go over several hosts, and this process makes no call on the folders. A lock that is refused, hangs or kills
    is reported in its rows and ends nothing. Raises CannotRunError where fork(2) is refused.
    """
    entries = planned(asked, on_hosts=bool(over))
    if entries:
        locks = over.answering(handoffs or {}) if over else answering(folders, handoffs)
        hung = {EXCLUSION[name] for name in asleep}
        yield from _Stress(folders, seed, workers, tell, locks, over, hung).all(entries, seconds)


def modules_of(asked: Collection[str]) -> list[str]:
    """Return the names of the modules that have the scenarios of these races over several hosts."""
    return list({_found(entry.scenario).kind.__module__: None for entry in planned(asked, on_hosts=True)})


def check_workers(asked: Collection[str], workers: int) -> None:
    """Raise UsageError where one of the races for these guarantees has no room for this many workers."""
    for entry in planned(asked):
        _found(entry.scenario).check_workers(workers)


class Over(Protocol):
    """The ways to race over several hosts, and to ask them what the filesystem has."""

    def trial(self, setting: Setting, number: int, folders: Sequence[Path]) -> Result:
        """Race once, as `lab.racing.timed.RunTrial`."""

    def answering(self, handoffs: Mapping[str, float]) -> dict[str, Answering]:
        """Return what each lock does on the slowest host, as the function of this name."""

    def tried(self, name: str) -> Answering:
        """Return what a lock file does on the slowest host."""

    def refusal_of(self, backing: str) -> str:
        """Return the reason why a host cannot use this backing there; empty where all can."""


class _Stress:
    """One stress: its constant settings, and its findings about the directories."""

    def __init__(
        self,
        folders: Sequence[Path],
        seed: int,
        workers: int,
        tell: Announcer,
        locks: dict[str, Answering],
        over: Over | None = None,
        hung: Collection[str] = (),
    ) -> None:
        self._over = over
        self._folders = folders
        self._seed = seed
        self._workers = workers
        self._tell = tell
        self._locks = locks
        self._hung = set(hung)
        self._lying: set[str] = set()
        self._kept: set[str] = set()

    def all(self, entries: Sequence[Entry], seconds: float) -> Iterator[StressResult]:
        """Yield the result of each race in turn; each gets its part of the time that those before it have left."""
        ends = monotonic() + seconds
        for number, entry in enumerate(entries):
            part = entry.weight / sum(other.weight for other in entries[number:])
            yield self._one(entry, part * max(0.0, ends - monotonic()))

    def _one(self, entry: Entry, seconds: float) -> StressResult:
        case = self._case(entry)
        polls = entry.polled or self._asks_again(entry, case.setting.lock.name)
        self._tell(f"stress for {entry.guarantee}: {case.title}")
        refusal = self._refusal(case.setting)
        if refusal:
            row = untried(case, "unsupported", refusal)
        else:
            row = self._raced(case, seconds, entry.first_rounds, polled=polls)
        if entry.guarantee in UNCONTENDED and row.verdict == "inconclusive":
            row = replace(row, verdict="clean", reason="")  # its workers have locks of their own: none is handed over
        row = with_reasons_of_check(row, self._folders)
        self._learn(entry, row)
        return StressResult(
            guarantee=entry.guarantee,
            backing=entry.backing,
            rules=list(entry.rules),
            polled=polls,
            verdict="unsupported" if refusal else verdict_of(row, of_data=not entry.is_held),
            case=row,
        )

    def _asks_again(self, entry: Entry, name: str) -> bool:
        """Tell whether a race for data requests its lock without waiting, because its waiters are not woken."""
        return not entry.lock and name in self._hung and not self._locks[name].hung

    def _raced(self, case: Case, seconds: float, most: int, *, polled: bool) -> Row:
        """Return its row; after a lock has hung, nothing that waits for it is tried again."""
        name = case.setting.lock.name
        here = self._known(name)
        alone = here.hung
        if name in self._hung and (alone or not polled):
            return untried(case, "timeout", f"lock {name}: not tried again, for it hung before")
        if alone:
            row = untried(case, "timeout", f"a worker {alone.reason}", [alone])
        else:
            trial, folders = (self._over.trial, ()) if self._over else (None, self._folders)
            first = here.first_rounds(self._workers, most)
            row = race_for(case, folders, seconds, first, trial=trial)
            if self._over and row.verdict == "inconclusive" and seconds < ENOUGH_S:
                row = race_for(case, folders, ENOUGH_S, first, trial=trial)
        if row.verdict == "timeout":
            self._hung.add(name)
        return row

    def _known(self, name: str) -> Answering:
        """Return what is known of a lock. A lock file is tried once; no lock is as slow as the locks of the kernel."""
        if name not in self._locks:
            pairs = [each.pair_ns for each in self._locks.values()]
            is_file = name in LOCK_FILES.values()
            tried = self._over.tried if self._over else partial(lock_file_in, self._folders)
            self._locks[name] = tried(name) if is_file else Answering(max(pairs, default=0))
        return self._locks[name]

    def _learn(self, entry: Entry, row: Row) -> None:
        """Record the findings of a race about its lock, for the races for the data."""
        if row.overlapping_holds:
            self._lying.add(row.lock)
        elif entry.lock and verdict_of(row) == "safe":
            self._kept.add(row.lock)

    def _of_data(self) -> str:
        """Return the first lock that had no overlaps when it was raced for; else the first without a false grant."""
        there = [name for name in LOCKS if not self._locks[name].refused]
        apart = [name for name in there if name not in self._lying]
        kept = [name for name in apart if name in self._kept]
        awake = [name for name in kept if name not in self._hung]
        return (awake or kept or apart or there or LOCKS)[0]

    def _case(self, entry: Entry) -> Case:
        found = _found(entry.scenario)
        name = entry.lock or self._of_data()
        scenario = found.kind()
        lock = _lock(name, polls=entry.polled or self._asks_again(entry, name))
        setting = Setting(
            scenario=scenario,
            lock=Cleared(lock, scenario.beside(self._workers)) if isinstance(scenario, OwnFiles) else lock,
            backing="anonymous" if entry.backing == OWN_FILES else entry.backing,
            workers=self._workers,
            rounds=found.kind.rounds,
            pin=entry.pin,
            window_ns=self._window_ns(name),
            leak=0.0,
            time_limit_s=self._known(name).time_limit_s(self._workers),
            seed=f"{self._seed}/{entry.scenario}/{name}/{entry.backing}",
            stresses=True,
            most_limits=MOST_LIMITS,
        )
        return Case(found, setting)

    def _window_ns(self, name: str) -> int:
        """Return how long workers sleep before each request and each store.

        Nobody queues for a lock file: over hosts the last holder would make it again and again before the others look.
        On one host their calls wait for one another in the directory: each of them is to come within a hold.
        """
        known, is_file = self._known(name), name in LOCK_FILES.values()
        if self._over and is_file:
            return max(LEFT_TO_OTHERS_NS, min(LONGEST_NS, PAIRS_LEFT * known.pair_ns))
        return min(LONGEST_NS, known.window_ns * (self._workers if is_file else 1))

    def _refusal(self, setting: Setting) -> str:
        """Return the reason why the filesystem lacks what this race needs; empty where it has it."""
        name = setting.lock.name
        if self._known(name).refused:
            return f"lock {name}: refused ({errno.errorcode[self._locks[name].errno]})"
        if self._over:
            return self._over.refusal_of(setting.backing)
        return refusal_of(setting.backing, self._folders)


def lock_file_in(folders: Sequence[Path], name: str) -> Answering:
    """Return how fast a lock file is made and removed on the slowest directory, or the errno of a refusal."""
    slowest = 0
    for folder in folders:
        try:
            with doing(f"trying {name} in {folder}", TOUCH_S), made_in(folder, name) as lock:
                pair_ns, code = _pair(lock.acquire, lock.release)
        except OSError as error:
            pair_ns, code = 0, error.errno or 0
        if code:
            return Answering(errno=code)
        slowest = max(slowest, pair_ns)
    return Answering(slowest)


def refusal_of(backing: str, folders: Sequence[Path]) -> str:
    """Return the reason why the filesystem cannot back data so; empty where it can."""
    try:
        for folder in folders:
            with doing(f"trying {backing} in {folder}", TOUCH_S):
                probe_backing(find_backing(backing), folder)
    except CannotRunError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in UNABLE_TO_MAP:
            return str(error)
    return ""


def _found(name: str) -> Found:
    own = OWN | on_hosts.FOUND
    return own[name] if name in own else find_scenarios([name])[0]


def _lock(name: str, *, polls: bool) -> Lock:
    if name in LOCK_FILES.values():
        return NameLock(name)
    return polled(name) if polls else find_lock(name)


def verdict_of(row: Row, *, of_data: bool = True) -> CheckVerdict:
    """Return the verdict of a row on its guarantee; a race that could not be run or judged is no evidence."""
    if row.overlapping_holds or row.verdict == "damaged" or (of_data and is_of_the_file(row)):
        return "unsafe"
    return "safe" if row.verdict == "clean" and row.operations else "unknown"


def is_of_the_file(row: Row) -> bool:
    """Tell whether the file under the race failed: it was not there, came late, or could not be read or written.

    It did not fail where the worker was killed from outside or met a limit of its own: that is no evidence about the
    file.
    """
    failed = [failure for failure in row.failures if failure.how in ("raised", "killed")]
    return bool(NOT_AS_MADE.search(row.reason)) or any(_by_the_file(row, failure) for failure in failed)


def _by_the_file(row: Row, failure: Failure) -> bool:
    if failure.how == "killed":
        return row.backing in MAPPINGS and bool(BUS_ERROR.search(failure.reason))
    code = ERRNO.search(failure.reason)
    return code is not None and "LockFailed" not in failure.reason and int(code[1]) in OF_THE_FILE
