"""Run a program and record what it does, wait for its end, and judge what it left behind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from lab.analysis.lock_faults import Finding, Judgement, Use
from lab.analysis.lock_story import Story, follow, is_exclusive, is_protocol, reasons_of, steps_of, way_of
from lab.analysis.lock_use import judge
from lab.analysis.statistics import plural
from lab.analysis.watched import APPENDS, END, EXCLUSIVE, RELEASED, UNDECODED, Event, History, Kind
from lab.errors import CannotRunError, UsageError
from lab.host.environment import RunStart, anonymous_text, environment
from lab.processes import Descendants, Orphan
from lab.processes.copies import GRACE_S, run_copies
from lab.records import (
    NEVER,
    LockedFile,
    Outcome,
    Quantiles,
    Request,
    Watch,
    WatchedCall,
    WatchedProcess,
    WatchFinding,
    WatchOptions,
    WatchStep,
    WatchTimeline,
    groups_of,
)
from lab.records.watch import faults_of

from .log import read_logs
from .recorders import RECORDERS, WHY_NOT, command_of, log_folder, remove_abandoned_folders
from .replay import Again, CheckFile, FirstContents, replay
from .suppressions import Suppression, suppressions, unused
from .symbols import Places


@contextmanager
def _logs(keep: str) -> Iterator[Path]:
    """Yield an empty folder for the logs: the one to keep, or one that goes with the block."""
    if not keep:
        remove_abandoned_folders()
        with log_folder() as temporary:
            yield temporary
        return
    folder = Path(keep).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"--keep {keep}: is not empty; name a new folder")
    except OSError as error:
        raise CannotRunError(f"--keep {keep}: {error.strerror}; name another folder") from error
    yield folder


def watch(options: WatchOptions, check: CheckFile | None = None) -> Watch:
    """Run copies of a command and return what is wrong with their locks; replay the fault that the options name.

    `check` judges the file that a replay leaves.

    Raises CannotRunError where the library is missing, the command cannot be run, or nothing of it could be recorded.
    """
    start = RunStart()
    record = RECORDERS[options.recorder](options)
    rules = suppressions(options.suppress)  # what is wrong in them is said before the program runs
    commands = [command_of(options, copy) for copy in range(options.copies)]

    def run(folder: Path, more: Mapping[str, str] = NOTHING_MORE) -> tuple[list[Outcome], bool, list[Orphan]]:
        with Descendants() as left, record(folder) as (variables, follower):
            outcomes, interrupted = run_copies(commands, {**variables, **more}, options.time_limit_s, follower)
            return outcomes, interrupted, left.end(grace_s=GRACE_S)

    with _logs(options.keep) as folder, log_folder() if options.replay else nullcontext(folder) as copies:
        contents = FirstContents(commands, options.files, copies) if options.replay else None
        outcomes, interrupted, orphans = run(folder)
        if not any(folder.iterdir()):
            raise CannotRunError(f"{options.command[0]}: nothing was recorded: {WHY_NOT[options.recorder]}")
        history = read_logs(folder)
        found, raw = _judged(history, options, rules, start, outcomes, interrupted=interrupted)
        late = [f"what {each} would have done: it ran on, and was ended" for each in orphans]
        found = replace(found, not_seen=[*found.not_seen, *map(anonymous_text, late)])
        if contents is None or interrupted:
            return found
        places = {id(each): number for number, each in enumerate(found.findings)}
        groups = [[raw[places[id(each)]] for each in group] for group in groups_of(faults_of(found.findings))]
        again = Again(run, contents, check, outcomes)
        return replace(found, replayed=replay(options.replay, history, groups, _in_words, again))


NOTHING_MORE: Mapping[str, str] = {}


def judge_again(folder: Path, options: WatchOptions) -> Watch:
    """Return what is wrong with the locks of an earlier run, from its logs. Raises UsageError as `read_logs`."""
    return _judged(read_logs(folder), options, suppressions(options.suppress), RunStart(), [])[0]


def _judged(
    history: History,
    options: WatchOptions,
    rules: Sequence[Suppression],
    start: RunStart,
    outcomes: list[Outcome],
    *,
    interrupted: bool = False,
) -> tuple[Watch, list[Finding]]:
    if options.mounts and history.level != "accesses":
        raise UsageError("--mounts judges stores to mappings; watch with --level accesses")
    judged = judged_history(history, rules, options.ignore, chosen=bool(options.files), mounts=options.mounts)
    done = Watch(
        **start.header(environment(Path.cwd(), start.load), interrupted=interrupted),
        options=replace(options, level=history.level, recorder=history.recorder),
        outcomes=outcomes,
        programs=sorted({program for process in history.processes for program in process.programs}),
        processes=len(history.processes),
        events=len(history.events),
        accesses=judged.accesses,
        suppressed=judged.suppressed,
        files=judged.files,
        findings=judged.findings,
        locked=locked_files(by_name((file, lock, use) for (file, _, lock), use in judged.uses.items())),
        not_seen=judged.not_seen,
        timeline=judged.timeline,
        unused=[anonymous_text(each) for each in unused(rules)],
    )
    return done, judged.found


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge found in a history, as it `found` it and in the words of the records.

    `uses` are by the name of the file, its number in the history, and the lock.
    """

    accesses: int
    suppressed: int
    files: int
    findings: list[WatchFinding]
    uses: dict[tuple[str, int, str], Use]
    not_seen: list[str]
    timeline: WatchTimeline
    found: list[Finding]


def judged_history(
    history: History,
    rules: Sequence[Suppression],
    ignored: Collection[str] = (),
    *,
    chosen: bool = False,
    mounts: bool = False,
    named: Callable[[str], str] = anonymous_text,
) -> Judged:
    """Judge a history; `named` makes the name of a file in the record from its path."""
    places = Places(history)

    def functions(event: Event) -> list[str]:
        return [frame.function for frame in places.frames(event)]

    by_file = [[rule for rule in rules if rule.names(_file(history, file))] for file in range(len(history.files))]
    words = {file: [rule.word() for rule in its if not rule.kinds] for file, its in enumerate(by_file)}
    judged = judge(
        history,
        places.place,
        chosen=chosen,
        left_out=lambda event: any(rule.covers(event, functions) for rule in by_file[event.file]),
        mounts=mounts,
        words={file: its for file, its in words.items() if its},
    )
    kept = [each for each in judged.findings if each.cause not in ignored]
    story = follow(history, kept, MOST_REQUESTS)
    told = _first_of_each_cause(kept)
    for use in judged.uses.values():
        use.longest_at = places.place(use.longest) if use.longest else ""
    return Judged(
        accesses=judged.accesses,
        suppressed=judged.left_out,
        files=len(judged.judged),
        findings=[_finding(history, places, each, story if id(each) in told else None, named) for each in kept],
        uses={(named(_file(history, file)), file, lock): use for (file, lock), use in judged.uses.items()},
        not_seen=list(_not_seen(history, judged, named)),
        timeline=_timeline(history, story, named),
        found=kept,
    )


def _finding(
    history: History, places: Places, found: Finding, story: Story | None, named: Callable[[str], str]
) -> WatchFinding:
    first = min(event.begin for event in found.events)
    steps = steps_of(history, found, story.held) if story else sorted(found.events, key=lambda each: each.begin)
    return WatchFinding(
        cause=found.cause,
        note=found.is_note,
        file=named(_file(history, found.file)),
        count=found.count,
        calls=[
            WatchedCall(
                process=history.processes[event.process].pid,
                thread=event.thread,
                call=_in_words(event),
                place=places.place(event),
                stack=list(places.stack(event)),
                after_us=round((event.begin - first) / 1000, 1),
                source=anonymous_text(places.source(event)[0]),
                line=places.source(event)[1],
            )
            for event in sorted(found.events, key=lambda each: each.begin)
        ],
        steps=[
            WatchStep(
                process=history.processes[event.process].pid,
                thread=event.thread,
                call=_in_words(event),
                place=places.place(event),
                after_us=round((event.begin - steps[0].begin) / 1000, 1),
                own=event in found.events,
                kind=event.kind.name.lower(),
                start=max(0, event.start),
                length=max(0, min(event.end, END) - event.start),
            )
            for event in steps
        ],
        reasons=list(reasons_of(found, steps, story.held)) if story else [],
        at_ns=steps[0].begin - _start_of(history),
        suppress=_suppression(history, found) if is_protocol(found) else "",
    )


MOST_TOLD = 5
"""So many findings of one cause and file are told with all their steps; of the others, the calls."""


def _first_of_each_cause(findings: Sequence[Finding]) -> set[int]:
    """Return the identities of the findings that are told with all their steps: those with both sides first."""
    groups: dict[tuple[str, int], list[Finding]] = {}
    for each in sorted(findings, key=lambda found: -len({event.process for event in found.events})):
        groups.setdefault((each.cause, each.file), []).append(each)
    return {id(each) for group in groups.values() for each in group[:MOST_TOLD]}


def _suppression(history: History, found: Finding) -> str:
    """Return the line that leaves both accesses out."""
    start, end = min(event.start for event in found.events), max(event.end for event in found.events)
    return f"accesses {start}-{end - 1} {Path(_file(history, found.file)).name}"


def _start_of(history: History) -> int:
    return min((event.begin for event in history.events.around(0, 0, 1)), default=0)


MOST_REQUESTS = 2000
"""So many requests for locks are kept for drawings."""


def _timeline(history: History, story: Story, named: Callable[[str], str]) -> WatchTimeline:
    start = _start_of(history)
    names: dict[str, int] = {}
    programs = [each.programs[-1] if each.programs else "" for each in history.processes]
    pids = [each.pid for each in history.processes]
    drawn = WatchTimeline(list(map(WatchedProcess, pids, map(anonymous_text, programs))), left_out=story.left_out)
    for event, first, end, released_ns in story.requests:
        drawn.holds.add(
            Request(
                worker=event.process,
                requested_ns=event.begin - start,
                granted_ns=event.finish - start if event.finish else NEVER,
                released_ns=NEVER if released_ns is None else released_ns - start,
                start=first,
                length=min(end, END) - first,
                write=int(is_exclusive(event)),
            )
        )
        drawn.thread.append(event.thread)
        drawn.file.append(names.setdefault(named(_file(history, event.file)), len(names)))
        drawn.lock.append(way_of(event))
    drawn.files.extend(names)
    return drawn


def _file(history: History, file: int) -> str:
    """Return the name that a file had at last."""
    if file < 0:
        return ""
    its = history.files[file]
    return its.names[-1] if its.names else its.path


def _range(event: Event) -> str:
    if event.start == 0 and event.end >= END:
        return "the whole file"
    if event.end >= END:
        return f"bytes {event.start} to the end"
    return f"byte {event.start}" if event.end == event.start + 1 else f"bytes {event.start} to {event.end - 1}"


def _in_words(event: Event) -> str:
    """Return what a call did."""
    mode = {0: "shared", EXCLUSIVE: "exclusive", RELEASED: ""}[event.flags & 3]
    refused = f", refused: {os.strerror(event.result)}" if event.result else ""
    unanswered = ", not granted" if not event.finish else ""
    match event.kind:
        case Kind.FLOCK:
            return (f"flock, {mode}" if mode else "flock, unlock") + refused + unanswered
        case Kind.POSIX | Kind.OFD:
            way = "fcntl" if event.kind is Kind.POSIX else "ofd"
            return f"{way}, {mode or 'unlock'}, {_range(event)}{refused}{unanswered}"
        case Kind.READ | Kind.LOAD | Kind.STORE | Kind.PAGE | Kind.MAP:
            return OF_A_RANGE[event.kind].format(_range(event))
        case Kind.WRITE:
            return f"{'appends' if event.flags & APPENDS else 'writes'} {_range(event)}"
        case Kind.TRUNCATE:
            return f"cuts the file to {event.start} bytes"
        case Kind.OPEN:
            return f"opens it{', and empties it,' if event.other & os.O_TRUNC else ''} as descriptor {event.fd}"
        case Kind.EXEC:
            return f"executes another program{f', and closes descriptor {event.fd}' * (event.fd >= 0)}"
        case Kind.CLOSE:
            return f"closes descriptor {event.fd}"
        case _:
            return OTHERS.get(event.kind, event.kind.name.lower())


OF_A_RANGE = {
    Kind.READ: "reads {}",
    Kind.LOAD: "loads {}",
    Kind.STORE: "stores {}",
    Kind.PAGE: "has stored to some of {} before this call",
    Kind.MAP: "maps {}",
}

OTHERS = {
    Kind.FORK: "forks",
    Kind.RENAME: "renames a file to this name",
    Kind.UNLINK: "removes the name",
    Kind.INHERITED: "another program begins with the descriptor",
    Kind.WAITED: "its end is waited for",
    Kind.START: "another program begins",
    Kind.EXIT: "exits",
}


def locked_files(uses: Mapping[tuple[str, str], Use]) -> list[LockedFile]:
    """Return the record of how files were locked."""
    return [
        LockedFile(
            file=file,
            lock=lock,
            granted=len(use.waits_ns) or len(holds_ns),
            contended=use.contended,
            refused=use.refused,
            wait_ns=Quantiles.of(use.waits_ns),
            hold_ns=Quantiles.of(holds_ns),
            longest=use.longest_at,
        )
        for (file, lock), use in uses.items()
        for holds_ns in [use.holds_ns()]
    ]


def by_name(uses: Iterable[tuple[str, str, Use]]) -> dict[tuple[str, str], Use]:
    """Return the uses by the name of the file and the lock: a file that is replaced again and again is one row."""
    named: dict[tuple[str, str], Use] = {}
    for file, lock, use in uses:
        named.setdefault((file, lock), Use()).add(use)
    return named


def _not_seen(history: History, judged: Judgement, named: Callable[[str], str]) -> Iterator[str]:
    """Yield what was not seen, so that silence says nothing about it."""
    mapped = sorted({named(_file(history, file)) for file in judged.mapped})
    if mapped:
        unseen = "loads, and which bytes of a page are stored to," if history.level == "pages" else "loads and stores"
        yield f"{unseen} through mappings of {', '.join(mapped)}"
    opened = Counter(bool(event.flags & UNDECODED) for event in history.events.of_kinds([Kind.OPENED]))
    if opened[False]:
        yield (
            f"what followed in pages that were used much and told nothing new: they were left open to the next call, "
            f"{opened[False]:,} times"
        )
    if opened[True]:
        yield f"{plural(opened[True], 'instruction')} that the lab does not decode, and what followed in their pages"
    for program in sorted(set(history.escaped)):
        yield f"{anonymous_text(program)}: a static or set-user-ID program, or one with a cleaned environment"
    yield from map(anonymous_text, sorted(set(history.limits)))
    if history.unrecorded:
        yield f"{history.unrecorded} processes, which could not make a log"
    if lost := sum(process.lost for process in history.processes):
        yield f"{lost:,} calls, for which there was no room in the logs"
    full = [str(process.pid) for process in history.processes if process.full]
    if full:
        yield f"what came after the disk was full, in process {', '.join(full)}"
