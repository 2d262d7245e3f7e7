"""Write as text who holds and waits on files at one moment: a table, then what stands out in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.analysis.statistics import joined
from lab.errors import ExitCode, printable
from lab.output import lab_command
from lab.records import LockNow, LockProcess, LocksNow
from lab.report.format import PLAIN, Column, Style, Table, duration, plural, wrapped

SHOWN_COMMAND = 40


def text_of(now: LocksNow, not_seen: Sequence[str], style: Style = PLAIN) -> str:
    """Return the answer in a sentence, the table of locks and requests, and what stands out."""
    table = locks_table(now)
    if not style.is_for_people:
        return table.render(style)
    parts = ["\n".join(_answers(now))]
    if now.locks:
        parts.append(table.render(style))
    parts += ["\n".join(lines) for lines in (list(_remarks(now)), [wrapped(each, "not seen: ") for each in not_seen])]
    return "\n\n".join(part for part in parts if part)


def exit_code(now: LocksNow) -> ExitCode:
    """Return DAMAGE where processes wait for each other, UNABLE where the process of a lock was not found."""
    return ExitCode.first(*[ExitCode.DAMAGE] * bool(now.deadlocks), *[ExitCode.UNABLE] * bool(now.unnamed))


def complaints(now: LocksNow) -> Iterator[str]:
    """Yield the lines for stderr."""
    yield from (_deadlock(ring) for ring in now.deadlocks)
    if now.unnamed:
        who = f"{now.unreadable} processes could not be looked into; be root" if now.unreadable else "it has none here"
        yield f"the process of {plural(now.unnamed, 'lock')} was not found: {who}"


def _answers(now: LocksNow) -> Iterator[str]:
    for file in now.files:
        its = [lock for lock in now.locks if lock.file == file]
        holders, waiters = (
            {each.pid for lock in its if lock.waits == waits for each in lock.processes} for waits in (False, True)
        )
        held = sum(not lock.waits for lock in its)
        waiting = len(its) - held
        if not its:
            yield wrapped(f"{printable(file)}: nobody holds a lock on it, and nobody waits")
        else:
            by = f" by {plural(len(holders), 'process')}" if holders else ""
            waits = plural(len(waiters) or waiting, "process")
            yield wrapped(
                f"{printable(file)}: {plural(held, 'lock')} held{by}, "
                f"{waits + (' wait' if max(len(waiters), waiting) > 1 else ' waits') if waiting else 'nobody waits'}"
            )
    if not now.files:
        yield "the process holds no lock, and waits for none"


def locks_table(now: LocksNow) -> Table[tuple[LockNow, LockProcess]]:
    """Return the table: a row for each process that has a lock or waits for one."""
    nobody = LockProcess(0, "?", [])
    rows = [(lock, process) for lock in now.locks for process in lock.processes or [nobody]]
    several = len(now.files) > 1
    return Table(
        [
            Column("file" * several, lambda row: row[0].file, {"file": lambda row: row[0].file}, left=True, fold=12),
            Column("state", lambda row: _state(row[0]), {"state": lambda row: _state(row[0])}, left=True),
            Column("process", lambda row: str(row[1].pid or "?"), {"process": lambda row: row[1].pid}),
            Column(
                "command", lambda row: _cut(row[1].command), {"command": lambda row: row[1].command}, left=True, fold=14
            ),
            Column("lock", lambda row: _kind(row[0]), {
                "lock": lambda row: row[0].lock, "mode": lambda row: _mode(row[0]),
            }, left=True, fold=9),
            Column("bytes", lambda row: _bytes(row[0]), {
                "start": lambda row: row[0].start, "last": lambda row: row[0].last,
            }, left=True),
            Column("descriptor", lambda row: _descriptors(row[1]) or "?", {
                "descriptor": lambda row: _descriptors(row[1]),
            }),
            Column("waited", lambda row: _waited(row[0]), {"waiting_s": lambda row: row[0].waiting_s}),
            Column("behind", lambda row: _behind(row[0]), {"behind": lambda row: _behind(row[0])}, left=True),
        ],
        rows,
    )  # fmt: skip


def _state(lock: LockNow) -> str:
    return "waits" if lock.waits else "orphan" if lock.orphan else "holds"


def _mode(lock: LockNow) -> str:
    return "exclusive" if lock.exclusive else "shared"


def _kind(lock: LockNow) -> str:
    return f"{lock.lock} {_mode(lock)}"


def _bytes(lock: LockNow) -> str:
    if lock.last is None:
        return f"{lock.start} to end" if lock.start else "all"
    return f"{lock.start}" if lock.start == lock.last else f"{lock.start} to {lock.last}"


def _descriptors(process: LockProcess) -> str:
    return ", ".join(map(str, process.descriptors))


def _waited(lock: LockNow) -> str:
    return "" if lock.waiting_s is None else duration(lock.waiting_s * 1e9)


def _behind(lock: LockNow) -> str:
    return ", ".join(map(str, lock.behind))


def _cut(command: str) -> str:
    program, space, rest = command.partition(" ")
    command = f"{program.rpartition('/')[2]}{space}{rest}"
    return command if len(command) <= SHOWN_COMMAND else f"{command[:SHOWN_COMMAND]}..."


def _deadlock(ring: Sequence[int]) -> str:
    if len(ring) == 1:
        return f"deadlock: process {ring[0]} waits for a lock that it holds itself by another descriptor"
    chain = ", ".join(f"{pid} for {later}" for pid, later in zip(ring, [*ring[1:], ring[0]], strict=True))
    return f"deadlock: these processes wait for each other: {chain}"


def _remarks(now: LocksNow) -> Iterator[str]:
    """Yield what the table does not say in words."""
    for ring in now.deadlocks:
        yield wrapped(f"DEADLOCK{_deadlock(ring).removeprefix('deadlock')}", indent=2)
    for lock in now.locks:
        pids = [str(each.pid) for each in lock.processes]
        if lock.orphan:
            end = "keeps the lock until it closes it" if len(pids) == 1 else "keep the lock until all have closed it"
            yield wrapped(
                f"orphan: process {lock.taker} took the flock on {lock.file} and has ended or closed the file; "
                f"{joined(pids)} inherited the descriptor, and {end}",
                indent=2,
            )
        elif len(pids) > 1 and not lock.waits and lock.lock != "fcntl":
            yield wrapped(
                f"shared open file: {joined(pids)} have the same open file of {lock.file}, and so the same {lock.lock} "
                "lock: it ends when one of them unlocks it, or when all have closed it",
                indent=2,
            )
    if now.beside:
        yield wrapped(f"locked beside it: {joined(now.beside)}; try {lab_command()} watch {now.beside[0]}", indent=2)
