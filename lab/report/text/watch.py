"""Write what was watched as text: the verdict, each cause with its calls, how files were locked, what was not seen."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from lab.errors import ExitCode, printable
from lab.records import LockedFile, Quantiles, Replayed, ReplayedOrder, Watch, WatchedCall, WatchFinding, groups_of
from lab.report.documents import Report
from lab.report.format import (
    MOST_WIDTH,
    PLAIN,
    Column,
    Style,
    Table,
    duration,
    plural,
    side_by_side,
    table_width,
    wrapped,
)

from . import watch_now

INDENT = "   "


class Explained(NamedTuple):
    """What a cause means: a title, why it is wrong, and what helps."""

    title: str
    because: str
    cure: str


CAUSES = {
    "no lock": Explained(
        "accesses that no lock orders",
        "two processes use the same bytes, one of them stores, and nothing that was seen keeps them apart",
        "hold one lock on the same file around both, exclusive for the one that stores",
    ),
    "read before the lock": Explained(
        "read before the lock, written inside it",
        "the value is from before the lock; what others stored since is overwritten",
        "read again once the lock is held",
    ),
    "emptied before the lock": Explained(
        "emptied before the lock is requested",
        "open with O_TRUNC (mode 'w') empties the file at once, while others still hold the lock (open(2))",
        "open without O_TRUNC, lock, then cut the file with ftruncate",
    ),
    "written after the unlock": Explained(
        "written after the unlock",
        "the lock was gone by then; what a buffered file was told to write reaches the file at its flush or close",
        "write and flush before the unlock",
    ),
    "dropped by a close": Explained(
        "the lock is dropped by a close",
        "POSIX locks belong to the process and the file: closing any descriptor of the file ends them all (fcntl(2))",
        "keep one descriptor of the file open for as long as the lock; or use F_OFD_SETLK or flock",
    ),
    "not inherited by a fork": Explained(
        "a child works without its parent's lock",
        "a child of fork does not inherit POSIX locks (fcntl(2))",
        "let the child take the lock itself, or let the parent wait for it before the unlock",
    ),
    "went on without the lock": Explained(
        "a request was refused, and the program wrote all the same",
        "the call returned an error, so the process does not hold the lock",
        "check the result of each request for a lock, and request again or give up",
    ),
    "written under a shared lock": Explained(
        "written under a shared lock",
        "a shared lock lets others in that hold it shared too",
        "take the lock exclusive to write",
    ),
    "two kinds of lock": Explained(
        "one process locks by fcntl, another by flock",
        "the two kinds do not see each other (flock(2))",
        "use one kind everywhere",
    ),
    "locked a replaced file": Explained(
        "the lock is on a file that was replaced",
        "a lock belongs to the inode; another file has had this name since, and others lock that one",
        "lock a file beside it that stays; or compare st_ino of the name and of the descriptor once the lock is held",
    ),
    "locked twice": Explained(
        "one process holds the lock twice",
        "POSIX locks belong to the process: a second request is granted at once, and one unlock releases both",
        "use F_OFD_SETLK or flock between threads, or lock once",
    ),
    "unlocked by another process": Explained(
        "a process unlocks what another had locked",
        "a forked child has the same open file description; its unlock releases the lock for both (flock(2))",
        "let the child close its copy of the descriptor, and not unlock it",
    ),
    "kept by a child": Explained(
        "a child keeps the lock after its parent closed the file",
        "the lock belongs to the open file description, which lives until its last copy is closed (flock(2))",
        "open with O_CLOEXEC, or close the descriptor in the child, or unlock before the close",
    ),
    "opposite order": Explained(
        "two locks are taken in opposite order",
        "each process can hold one and wait for the other: a deadlock that has only not happened yet",
        "take them in one order everywhere",
    ),
    "still waiting": Explained(
        "a request was never answered",
        "the lock was held by another until the end",
        "see who holds it, and which of its paths does not release it",
    ),
    "two let in": Explained(
        "two held locks that exclude each other",
        "both requests had been granted, and neither was released yet: the lock itself failed",
        "check the filesystem: lab check DIR",
    ),
    "cut below a mapping": Explained(
        "the file was cut while another process has it mapped",
        "an access to a page behind the end of the file ends the process with SIGBUS (mmap(2))",
        "unmap before the unlock, or never make the file shorter",
    ),
    "appended in pieces": Explained(
        "a record is appended in several writes, with another's in between",
        "O_APPEND makes each write(2) go to the end; it keeps no two writes together",
        "write the whole record in one call, or hold a lock around all its parts",
    ),
    "not synced before the unlock": Explained(
        "stored through a mapping, and not synced before the unlock",
        "another mount or host sees what is stored through a mapping once it is written back, which msync forces",
        "call msync with MS_SYNC before the unlock, or write with pwrite",
    ),
    "converted": Explained(
        "a shared lock was made exclusive",
        "flock gives the shared one up first; with fcntl two that do so at once wait for each other (EDEADLK)",
        "take it exclusive from the start, or read again afterwards",
    ),
    "died inside": Explained(
        "a process ended and had not unlocked", "what it changed may be half done", "make the change in one step"
    ),
    "unlocked without a lock": Explained(
        "an unlock of what was not locked", "the program believes in a lock that it does not have", "find out which"
    ),
    "looked before the lock": Explained(
        "looked at without a lock, and again under it", "the first look may be half of another's store", ""
    ),
}
"""What is said about each cause; a test holds that each has its entry."""


def exit_code(run: Watch) -> ExitCode:
    """Return DAMAGE where a fault was found, FAILED where a copy failed or hung; `watch_now` has its own."""
    if run.now:
        return watch_now.exit_code(run.now)
    refused = run.replayed is not None and bool(run.replayed.refused and run.faults)
    found = ExitCode.UNABLE if refused else ExitCode.DAMAGE
    codes = [ExitCode.INTERRUPTED] * run.interrupted + [found] * bool(run.faults)
    failed = any(each.exit_code or each.signal or each.hung or each.left_behind for each in run.outcomes)
    return ExitCode.first(*codes, *[ExitCode.FAILED] * (failed and not refused))


def text_of(run: Watch, style: Style = PLAIN) -> str:
    """Return the report, with the first pair of lines of each cause."""
    return _text(run, style, full=False)


def full_text_of(run: Watch, style: Style = PLAIN) -> str:
    """Return the report with all pairs of lines, and whole stacks."""
    return _text(run, style, full=True)


def _text(run: Watch, style: Style, *, full: bool) -> str:
    if run.now:
        return watch_now.text_of(run.now, run.not_seen, style)
    if not style.is_for_people:
        return locks_table(run.locked).render(style)
    parts = ["\n".join([verdict(run), seen(run)]), *causes_of(run.findings, run.replayed, full=full)]
    if run.locked:
        parts.append("\n".join([locks_table(run.locked).render(style), *_longest(run.locked)]))
    parts.append("\n".join(limits(run)))
    return "\n\n".join(parts)


def causes_of(
    findings: Sequence[WatchFinding], replayed: Replayed | None = None, *, full: bool = False
) -> Iterator[str]:
    """Yield a paragraph for each cause and file, the faults first: the calls, why it is wrong, and what helps."""
    number = 0
    for group in groups_of(findings):
        number += not group[0].note
        again = replays_of(replayed, number) if not group[0].note else []
        yield "\n".join([_cause(group, number, full=full), *(wrapped(each, f"{INDENT} replayed ") for each in again)])


def brief(faults: Sequence[WatchFinding]) -> Iterator[str]:
    """Yield a line for each fault, with its places."""
    for group in groups_of(faults):
        fullest = max(group, key=lambda each: len(each.calls))
        places = " and ".join(dict.fromkeys(call.place or "unknown place" for call in fullest.calls))
        yield f"{CAUSES[group[0].cause].title}: {_name(group[0].file)}, at {places}"


def verdict(run: Watch) -> str:
    """Return the answer in a sentence."""
    causes = len({(each.cause, each.file) for each in run.faults})
    if causes:
        return wrapped(f"locking is WRONG: {plural(causes, 'fault')} in {', '.join(_files(run.faults))}")
    if not run.locked and not run.accesses:
        return "nothing to judge: no shared file was locked, read or written"
    noted = [each for each in run.findings if each.note]
    return "no fault was found" + (f", {plural(len(groups_of(noted)), 'note')}" if noted else "")


def _name(file: str) -> str:
    return printable(file.rsplit("/", 1)[-1])


def _files(findings: Sequence[WatchFinding]) -> list[str]:
    return list(dict.fromkeys(_name(each.file) for each in findings))


def seen(run: Watch) -> str:
    """Return how much was seen, in a sentence."""
    left_out = f", {run.suppressed:,} of them suppressed" if run.suppressed else ""
    return wrapped(
        f"seen: {plural(run.processes, 'process')}, {plural(run.events, 'call')}, "
        f"{plural(run.accesses, 'access')} to the data of files{left_out}, {plural(run.files, 'file')} judged"
    )


def _cause(group: Sequence[WatchFinding], number: int, *, full: bool) -> str:
    first, cause = group[0], CAUSES[group[0].cause]
    count = sum(each.count for each in group)
    mark = "note" if first.note else f"{number:2}"
    lines = [wrapped(f"{cause.title}: {_name(first.file)}, {plural(count, 'time')}", f"{mark}  ")]
    if first.note and not full:
        return "\n".join([*lines, *(f"{INDENT} {_line(call)}" for call in first.calls[:1])])
    lines += ["", *_steps(first), ""]
    if full:
        lines += [*_stacks(first), ""]
    if len(group) > 1:
        more = [" and ".join(dict.fromkeys(call.place or "?" for call in each.calls)) for each in group[1:]]
        shown = list(dict.fromkeys(more)) if full else list(dict.fromkeys(more))[:MOST_MORE]
        lines += [wrapped(each, f"{INDENT} also     ") for each in shown]
        if len(dict.fromkeys(more)) > len(shown):
            lines.append(f"{INDENT} and {len(dict.fromkeys(more)) - len(shown)} more pairs of lines (--verbose)")
    lines.append(wrapped(cause.because, f"{INDENT} because  "))
    if first.reasons:
        lines.append(wrapped("; ".join(first.reasons), f"{INDENT} so       "))
    if cause.cure:
        lines.append(wrapped(cause.cure, f"{INDENT} cure     "))
    if suppress := next((each.suppress for each in group if each.suppress), ""):
        lines.append(f"{INDENT} if it is meant:  --suppress {shlex.quote(suppress)}")
    return "\n".join(lines)


def replays_of(replayed: Replayed | None, fault: int) -> Iterator[str]:
    """Yield what became of the file in both orders, where the fault of this number was replayed."""
    if replayed is None or replayed.fault != fault:
        return
    orders = (("as it was seen", replayed.seen), ("in the other order", replayed.other))
    for name, order in orders:
        if order is None:
            continue
        sentence = _left(order)
        if not sentence and name == orders[1][0] and replayed.same_bytes is not None:
            sentence = f"the file is left with {'the same' if replayed.same_bytes else 'OTHER'} bytes"
        if sentence:
            yield f"{name}, first {order.first}: {sentence}"


def _left(order: ReplayedOrder) -> str:
    """Return what is said of the file that an order left; nothing without a check."""
    if order.why_not:
        return f"the order could not be made: {order.why_not}"
    if order.damage is None:
        return ""
    return f"DAMAGE: {'; '.join(order.damage)}" if order.damage else "the file is right"


MOST_MORE = 3
NUMBER, LEAST_COLUMN = 3, 30
"""The width of the numbers of steps, and the least of the column of a process."""


def _steps(found: WatchFinding) -> Iterator[str]:
    """Yield the numbered steps: those of two or three processes in columns beside each other, where they fit.

    The calls of the finding itself have a sign.
    """
    processes = list(dict.fromkeys(step.process for step in found.steps))
    width = (min(table_width(), MOST_WIDTH) - NUMBER - len(INDENT)) // max(1, len(processes)) - 2
    beside = len(processes) > 1 and width >= LEAST_COLUMN
    if beside:
        heads = [(f"  process {pid}", width) for pid in processes]
        yield f"{INDENT}{side_by_side(('', NUMBER), *heads)}"
    for number, step in enumerate(found.steps, 1):
        sign = ">" if step.own else " "
        when = f"+{duration(step.after_us * 1000)}"
        if beside:
            cells = [(f"{sign} {step.call}" if pid == step.process else "", width) for pid in processes]
            where = [(f"  {step.place}  {when}" if pid == step.process else "", width) for pid in processes]
            yield from (
                f"{INDENT}{line}".rstrip() for line in side_by_side((f"{number:3}", NUMBER), *cells).split("\n")
            )
            yield from (f"{INDENT}{line}".rstrip() for line in side_by_side(("", NUMBER), *where).split("\n"))
        else:
            who = f"process {step.process}  " if len(processes) > 1 else ""
            line = f"{sign} {who}{step.place}: {step.call}" if step.place else f"{sign} {who}{step.call}"
            yield wrapped(f"{line}  {when}", f"{INDENT}{number:3}  ", indent=len(INDENT) + 8)


def _stacks(found: WatchFinding) -> Iterator[str]:
    for call in found.calls:
        yield wrapped(
            f"{_line(call)}, process {call.process}, thread {call.thread}", f"{INDENT} ", indent=len(INDENT) + 3
        )
        yield from (f"{INDENT}      {frame}" for frame in call.stack)


def _line(call: WatchedCall) -> str:
    return f"{call.place}: {call.call}" if call.place else call.call


def locks_table(rows: Sequence[LockedFile]) -> Table[LockedFile]:
    """Return the table of files and locks."""
    return Table(
        [
            Column("file", lambda row: _name(row.file), {"file": lambda row: row.file}, left=True, key=True),
            Column("lock", lambda row: row.lock, {"lock": lambda row: row.lock}, left=True),
            Column("granted", lambda row: f"{row.granted:,}", {"granted": lambda row: row.granted}),
            Column("contended", lambda row: f"{row.contended:,}", {"contended": lambda row: row.contended}),
            Column("refused", lambda row: f"{row.refused:,}", {"refused": lambda row: row.refused}),
            *_times("wait", lambda row: row.wait_ns, shown=("max",)),
            *_times("hold", lambda row: row.hold_ns, shown=("p50", "max")),
            Column(
                "longest", lambda row: row.longest or "-", {"longest_at": lambda row: row.longest}, left=True, wide=True
            ),
        ],
        rows,
    )


def _longest(rows: Sequence[LockedFile]) -> Iterator[str]:
    """Yield where the longest hold of all was requested."""
    held = [(row.hold_ns.max, row) for row in rows if row.hold_ns and row.longest]
    if held:
        longest, row = max(held, key=lambda each: each[0])
        yield wrapped(f"longest hold: {duration(longest)}, {_name(row.file)}, requested at {row.longest}")


def _times(
    name: str, times: Callable[[LockedFile], Quantiles | None], shown: Collection[str]
) -> list[Column[LockedFile]]:
    """Return the columns of the quantiles of a time; those that are not `shown` are wide."""

    def one(which: str) -> Column[LockedFile]:
        def value(row: LockedFile) -> int | None:
            its = times(row)
            return getattr(its, which) if its else None

        def text(row: LockedFile) -> str:
            its = value(row)
            return "-" if its is None else duration(its)

        return Column(f"{name} {which}", text, {f"{name}_{which}_ns": value}, wide=which not in shown)

    return [one("p50"), one("p99"), one("max")]


MAPPED = {
    "calls": "no load or store of a mapped file (--level accesses)",
    "pages": "of a mapped file which pages were written between two calls, not what was loaded (--level accesses)",
    "accesses": "the loads and stores of mapped files with it",
}
"""What each level sees of mapped files."""


def limits(run: Watch) -> Iterator[str]:
    """Yield what the answer does not say."""
    for each in run.not_seen:
        yield wrapped(each, "not seen: ")
    for each in run.unused:
        yield wrapped(f"--suppress: nothing was left out by {each}", indent=2)
    order = ORDER[run.options.recorder]
    yield wrapped(f"Only what ran was seen, and {MAPPED[run.options.level]}. {order}" if order else LOCKS_ALONE)


ELSE = "order processes here; whatever else does is taken for no order."
ORDER = {
    "library": f"Locks, forks, waits, pipes, and mutexes and semaphores in shared memory {ELSE}",
    "tracer": f"Locks, forks, waits and pipes {ELSE}",
    "kernel": "",
}
"""What is known to order processes, by who recorded them."""

LOCKS_ALONE = "Only locks were seen, of what ran: no access to data."


def complaints(run: Watch) -> Iterator[str]:
    """Yield the lines for stderr: one for each fault, and each copy that failed."""
    if run.now:
        yield from watch_now.complaints(run.now)
        return
    yield from brief(run.faults)
    yield from brief_complaints(run)


def brief_complaints(run: Watch) -> Iterator[str]:
    """Yield the lines for stderr beside the report, which has the faults."""
    if run.now:
        yield from watch_now.complaints(replace(run.now, deadlocks=[]))
        return
    if run.replayed and run.replayed.refused:
        yield f"--replay {run.replayed.fault}: {run.replayed.refused}"
    for each in run.outcomes:
        if each.left_behind:
            yield f"copy {each.copy} did not end on SIGKILL: process {each.left_behind} hangs and was left behind"
        elif each.hung:
            yield f"copy {each.copy} did not end within {run.options.time_limit_s:g} s and was ended"
        elif each.signal:
            yield f"copy {each.copy} was ended by signal {each.signal}"
        elif each.exit_code:
            yield f"copy {each.copy} ended with exit code {each.exit_code}"
    if run.interrupted:
        yield "interrupted"


REPORT = Report(
    text_of,
    complaints,
    exit_code,
    {r"\b(WRONG|DEADLOCK|DAMAGE|OTHER)\b": "bold red", r"\bno fault was found\b": "green"},
    full_text_of=full_text_of,
    brief_complaints=brief_complaints,
)
