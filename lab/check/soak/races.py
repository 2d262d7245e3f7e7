"""The soak: what workers that race on all directories at once do to each other, and to the data, for each promise."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic

from lab.errors import CannotRunError
from lab.locks import find_lock
from lab.locks.polled import polled
from lab.processes import TOUCH_S, doing
from lab.race import Case, Setting, race_for, untried
from lab.regions import find_region, probe_region
from lab.results import Answered, Failure, Soaked
from lab.results import Case as Row
from lab.scenario import Found, find_scenarios

from .locks import LOCKS, Answering, answering
from .neighbours import Neighbours
from .plan import Entry, planned
from .wording import told_here

Tell = Callable[[str], None]
REFUSED = frozenset({errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP})
"""What mmap(2) answers where the filesystem does not map."""

NOT_AS_MADE = re.compile(r"shows [\d,]+ of the [\d,]+ bytes of a file|does not show a file|cannot be read back")
"""What is said of a file that was just made and whose size, or name, comes late."""

MOST_LIMITS = 5
"""A trial whose workers still do rounds at its time limit is slow, as on a busy machine, and does not hang."""

MAPPINGS = ("mapped", "reopened")
BUS_ERROR = re.compile(r"SIG(BUS|SEGV)(?!.*no (room|space))", re.DOTALL)
ERRNO = re.compile(r"\[Errno (\d+)\]")
OF_THE_FILE = frozenset({errno.EIO, errno.ENODATA, errno.ENOENT, errno.ENXIO, errno.ESTALE, errno.EREMOTEIO})
"""What a call on the file answers that no limit of the worker explains; ENODATA where it ends too early."""


def soak(
    folders: Sequence[Path],
    asked: Collection[str],
    seconds: float,
    seed: int,
    workers: int,
    tell: Tell,
    handoffs: Mapping[str, float] | None = None,
) -> Iterator[Soaked]:
    """Race for these promises (`lab.check.promises`) within about so many seconds, one after the other.

    `tell` hears what comes next; `handoffs` are the slowest hand-offs of the locks here, by their guarantees.

    Several folders are one directory seen through several mounts; files are made in them, and removed. A lock that
    is refused, hangs or kills is told in its rows and ends nothing. Raises CannotRunError where fork(2) is refused.
    """
    entries = planned(asked)
    if entries:
        yield from _Soak(folders, seed, workers, tell, answering(folders, handoffs)).all(entries, seconds)


def check_workers(asked: Collection[str], workers: int) -> None:
    """Raises UsageError where one of the races for these promises has no room for so many workers."""
    for entry in planned(asked):
        _found(entry.scenario).check_workers(workers)


class _Soak:
    """One soak: what does not change in it, and what it found out about the directories."""

    def __init__(
        self, folders: Sequence[Path], seed: int, workers: int, tell: Tell, locks: dict[str, Answering]
    ) -> None:
        self._folders = folders
        self._seed = seed
        self._workers = workers
        self._tell = tell
        self._locks = locks
        self._hung: set[str] = set()
        self._lying: set[str] = set()
        self._kept: set[str] = set()

    def all(self, entries: Sequence[Entry], seconds: float) -> Iterator[Soaked]:
        """Race one after the other; each gets its part of the time that those before it have left."""
        ends = monotonic() + seconds
        for number, entry in enumerate(entries):
            part = entry.weight / sum(other.weight for other in entries[number:])
            yield self._one(entry, part * max(0.0, ends - monotonic()))

    def _one(self, entry: Entry, seconds: float) -> Soaked:
        case = self._case(entry)
        polls = entry.polled or self._asks_again(entry, case.setting.lock.name)
        self._tell(f"soak for {entry.promise}: {case.title}")
        refusal = self._refusal(case.setting)
        row = untried(case, "unsupported", refusal) if refusal else self._raced(case, seconds, polled=polls)
        row = told_here(row, self._folders)
        self._learn(entry, row)
        return Soaked(
            promise=entry.promise,
            region=entry.region,
            rules=list(entry.rules),
            polled=polls,
            verdict="unsupported" if refusal else judged(row, of_data=not entry.lock),
            case=row,
        )

    def _asks_again(self, entry: Entry, name: str) -> bool:
        """True for data whose lock nobody is woken for: a race for the data asks for it without waiting."""
        return not entry.lock and name in self._hung and not self._locks[name].hung

    def _raced(self, case: Case, seconds: float, *, polled: bool) -> Row:
        """Its row; once a lock has hung, nothing that waits for it is tried again."""
        name = case.setting.lock.name
        alone = self._locks[name].hung
        if name in self._hung and (alone or not polled):
            return untried(case, "timeout", f"lock {name}: not tried again, for it hung before")
        if alone:
            row = untried(case, "timeout", f"a worker {alone.reason}", [alone])
        else:
            row = race_for(case, self._folders, seconds, self._locks[name].first_rounds(self._workers))
        if row.verdict == "timeout":
            self._hung.add(name)
        return row

    def _learn(self, entry: Entry, row: Row) -> None:
        """What a race says of its lock, for those for the data."""
        if row.overlapping_holds:
            self._lying.add(row.lock)
        elif entry.lock and judged(row) == "safe":
            self._kept.add(row.lock)

    def _of_data(self) -> str:
        """The first lock that kept everybody apart when it was raced for; else the first that nobody saw lying."""
        there = [name for name in LOCKS if not self._locks[name].refused]
        apart = [name for name in there if name not in self._lying]
        kept = [name for name in apart if name in self._kept]
        awake = [name for name in kept if name not in self._hung]
        return (awake or kept or apart or there or LOCKS)[0]

    def _case(self, entry: Entry) -> Case:
        found = _found(entry.scenario)
        name = entry.lock or self._of_data()
        setting = Setting(
            scenario=found.kind(),
            lock=polled(name) if entry.polled or self._asks_again(entry, name) else find_lock(name),
            region=entry.region,
            workers=self._workers,
            rounds=found.kind.rounds,
            pin="none" if entry.polled else "one",
            window_ns=self._locks[name].window_ns,
            leak=0.0,
            time_limit_s=self._locks[name].time_limit_s(self._workers),
            seed=f"{self._seed}/{entry.scenario}/{name}/{entry.region}",
            soaks=True,
            most_limits=MOST_LIMITS,
        )
        return Case(found, setting)

    def _refusal(self, setting: Setting) -> str:
        """Why the filesystem does not have what this race needs; empty where it does."""
        name = setting.lock.name
        if self._locks[name].refused:
            return f"lock {name}: refused ({errno.errorcode[self._locks[name].errno]})"
        try:
            for folder in self._folders:
                with doing(f"trying {setting.region} in {folder}", TOUCH_S):
                    probe_region(find_region(setting.region), folder)
        except CannotRunError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in REFUSED:
                return str(error)
        return ""


def _found(name: str) -> Found:
    if name == "neighbours":
        return Found(name, Neighbours, "Lost updates of neighbours in one page")
    return find_scenarios([name])[0]


def judged(row: Row, *, of_data: bool = True) -> Answered:
    """What a row says for its promise; a race that could not be run or judged says nothing."""
    if row.overlapping_holds or row.verdict == "damaged" or (of_data and is_of_the_file(row)):
        return "unsafe"
    return "safe" if row.verdict == "clean" and row.operations else "unknown"


def is_of_the_file(row: Row) -> bool:
    """True where the file under the race gave out: it was not there, came late, or could not be read or written.

    Not where the worker was killed from outside, or a limit of its own was met: that says nothing of the file.
    """
    failed = [failure for failure in row.failures if failure.how in ("raised", "killed")]
    return bool(NOT_AS_MADE.search(row.reason)) or any(_by_the_file(row, failure) for failure in failed)


def _by_the_file(row: Row, failure: Failure) -> bool:
    if failure.how == "killed":
        return row.region in MAPPINGS and bool(BUS_ERROR.search(failure.reason))
    code = ERRNO.search(failure.reason)
    return code is not None and "LockFailed" not in failure.reason and int(code[1]) in OF_THE_FILE
