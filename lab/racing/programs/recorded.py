"""Record every call of a program's copies by the library of `lab watch`, and judge each trial by them.

The holds of a trial are those that the copies had, with their stamps, as the lab's own workers record theirs: the sweep
finds the ones that overlapped, and the requests that met a holder say which false grants would have been noticed. The
judge says what is wrong with the locking, at which line.

Reading and judging takes longer than making the calls. So each trial is judged up to a number of calls, from the first
on: what is found in the beginning of a history is true whatever follows. Once the judging of a case has taken its time,
the copies of its later trials run without the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from lab.analysis.holds import Exclusion, Hold, Overlap, Overtaking, Row, overtaking
from lab.analysis.lock_faults import Use, exclusion
from lab.analysis.watched import History
from lab.errors import UsageError
from lab.host.environment import anonymous_text
from lab.racing.trial import Result
from lab.records import WatchedLocks, WatchFinding
from lab.watching.log import read_logs
from lab.watching.recorders import library, log_folder, variables_for
from lab.watching.run import Judged, by_name, judged_history, locked_files
from lab.watching.suppressions import Suppression, check_causes, suppressions

MOST_CALLS = 300_000
"""So many calls of a trial are judged, the first ones."""

JUDGING_S = 15.0
"""The time, in seconds, that judging the trials of a case may take before its later trials run unwatched."""

UNBEGUN = "copies that recorded nothing: static or set-user-ID programs, or they could not be run"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded and judged of one trial; `uses` are by the name of the file and the lock."""

    processes: int
    calls: int
    accesses: int
    suppressed: int
    findings: list[WatchFinding]
    uses: dict[tuple[str, str], Use]
    not_seen: list[str]


@dataclass(slots=True)
class Watcher:
    """Watches the trials of one case; make it before the first of them.

    Raises CannotRunError where the library is missing, UsageError for what is no suppression and no cause.
    """

    suppress: Sequence[str] = ()
    ignore: Sequence[str] = ()
    _rules: list[Suppression] = field(init=False)
    _library: Path = field(init=False)
    _judging_s: float = 0.0

    def __post_init__(self) -> None:
        """Find the library and read the suppressions."""
        check_causes(self.ignore)
        self._rules = suppressions(self.suppress)
        self._library = library()

    @contextmanager
    def trial(self) -> Iterator[Logs | None]:
        """Yield where the logs of one trial go, or None once judging has taken its time; they are removed after it."""
        if self._judging_s > JUDGING_S:
            yield None
            return
        with log_folder() as folder:
            yield Logs(folder, self._library)

    def judge(self, result: Result, logs: Logs, file: Path, copies: Mapping[int, int]) -> Result:
        """Return the result of a trial with what was recorded of it; `copies` has their numbers by process id."""
        begun = monotonic()
        try:
            history = read_logs(logs.folder)
        except UsageError:  # no log at all
            return replace(result, recorded=Recorded(0, 0, 0, 0, [], {}, [UNBEGUN]))
        more = len(history.events) - MOST_CALLS
        history.events.cut(MOST_CALLS)
        judged = judged_history(history, self._rules, self.ignore, named=lambda path: _named(path, file))
        late = [f"what came after the first {MOST_CALLS:,} calls of a trial"] * (more > 0)
        self._judging_s += monotonic() - begun
        return _with_holds(
            replace(
                result,
                recorded=Recorded(
                    processes=len(history.processes),
                    calls=len(history.events),
                    accesses=judged.accesses,
                    suppressed=judged.suppressed,
                    findings=judged.findings,
                    uses=by_name((name, lock, use) for (name, _, lock), use in judged.uses.items()),
                    not_seen=[*judged.not_seen, *late],
                ),
            ),
            judged,
            _copy_of(history, copies),
        )


@dataclass(frozen=True, slots=True)
class Logs:
    """The folder of the logs of one trial, and the library that writes them."""

    folder: Path
    library: Path

    def variables(self) -> dict[str, str]:
        """Return what the environment of a copy has more."""
        return variables_for(self.folder, self.library)


def _named(path: str, file: Path) -> str:
    """Return the name of a file as a command line would give it: {file}.lock."""
    beside = path.removeprefix(f"{file.parent}/")
    if beside == path:
        return anonymous_text(path)
    return f"{{file}}{beside.removeprefix(file.name)}" if beside.startswith(file.name) else beside


def _copy_of(history: History, copies: Mapping[int, int]) -> dict[int, int]:
    """Return the copy that each process of a history is, or descends from; 0 where that is not known."""
    parents = {its.pid: its.parent for its in history.processes}
    found = {}
    for number, its in enumerate(history.processes):
        pid, seen = its.pid, set[int]()
        while pid not in copies and pid in parents and pid not in seen:
            seen.add(pid)
            pid = parents[pid]
        found[number] = copies.get(pid, 0)
    return found


def _with_holds(result: Result, judged: Judged, copy_of: Mapping[int, int]) -> Result:
    """Return the result with the holds of the copies, as the lab's own workers record theirs.

    Ranges of one file exclude each other, whether fcntl or OFD locks; flock does not see them. A lock file is a name,
    whatever file has it.
    """

    def domain(name: str, file: int, lock: str) -> tuple[object, str]:
        return (name if lock == "lock file" else file, lock if lock in ("flock", "lock file") else "range")

    uses = judged.uses
    swept = exclusion((domain(*key), use) for key, use in uses.items())
    per_use = [[_of_copy(row, copy_of) for row in use.rows()] for use in uses.values()]
    return replace(
        result,
        holds=sorted(row for rows in per_use for row in rows),
        unrecorded=sum(use.unrecorded for use in uses.values()),
        refused=sum(use.refused for use in uses.values()),
        exclusion=Exclusion([_between(each, copy_of) for each in swept.overlaps], swept.contended, swept.unkept),
        overtaking=_most([overtaking(rows, len(result.exits), result.wall_ns) for rows in per_use]),
    )


def _of_copy(row: Row, copy_of: Mapping[int, int]) -> Row:
    granted, released, requested, process, word = row
    return granted, released, requested, copy_of[process], word


def _between(overlap: Overlap, copy_of: Mapping[int, int]) -> Overlap:
    first, second = (Hold(*_of_copy(hold, copy_of)) for hold in (overlap.first, overlap.second))
    return Overlap(first, second)


def _most(each: Iterable[Overtaking]) -> Overtaking:
    """Return the worst of the files."""
    every = [Overtaking(), *each]
    return Overtaking(
        most=max(one.most for one in every),
        starved=sum(one.starved for one in every),
        longest_read_ns=max((ns for one in every if (ns := one.longest_read_ns) is not None), default=None),
        longest_write_ns=max((ns for one in every if (ns := one.longest_write_ns) is not None), default=None),
    )


def watched_locks(trials: Sequence[Recorded], of: int) -> WatchedLocks:
    """Return the record of all trials that were watched, `of` so many: equal findings are one."""
    findings: dict[object, WatchFinding] = {}
    for each in (finding for trial in trials for finding in trial.findings):
        key = each.cause, each.file, tuple(call.place for call in each.calls)
        known = findings.get(key)
        findings[key] = replace(known, count=known.count + each.count) if known else each
    uses = by_name((name, lock, use) for trial in trials for (name, lock), use in trial.uses.items())
    unwatched = [f"{of - len(trials)} of {of} trials, which ran unwatched: judging took its time"] * (of > len(trials))
    return WatchedLocks(
        trials=len(trials),
        processes=sum(trial.processes for trial in trials),
        calls=sum(trial.calls for trial in trials),
        accesses=sum(trial.accesses for trial in trials),
        suppressed=sum(trial.suppressed for trial in trials),
        findings=sorted(findings.values(), key=lambda each: (each.note, -each.count)),
        locked=locked_files(uses),
        not_seen=[*dict.fromkeys(text for trial in trials for text in trial.not_seen), *unwatched],
    )
