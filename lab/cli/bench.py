"""Measure what locks cost here: uncontended, handed over, and in a queue. With --backing alone: what copying costs.

Each price is defined under the table, beside what the harness itself costs. `lab compare` holds two such runs against
each other, `lab plot` draws one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.errors import UsageError

from .options import (
    MOST_BYTES,
    MOST_WORKERS,
    Listed,
    add_directories,
    add_shared,
    add_tables,
    add_workers,
    at_least,
    directories_of,
    file_name,
    microseconds,
    names,
    positive,
    several,
    several_of,
)

if TYPE_CHECKING:
    from lab.records import BenchOptions

OF_LOCKS = ("lock", "price", "workers", "ranges", "held", "hold", "think", "pin")
"""These options exist only in a benchmark of locks."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench`."""
    locks = parser.add_argument_group("locks")
    add = locks.add_argument
    add(
        "--lock",
        action=Listed,
        type=names,
        metavar="NAME[,NAME...]",
        help="these (fcntl,ofd,flock; see `lab list`)",
    )
    add(
        "--price",
        action=Listed,
        type=several_of(("uncontended", "hand-off", "queue")),
        metavar="P[,P...]",
        help="uncontended, hand-off, queue (all three)",
    )
    add_workers(locks, several(1, MOST_WORKERS), None, "of hand-offs, from 2 on, and of the queue (2)")
    add(
        "--ranges",
        action=Listed,
        type=several_of(("same", "disjoint")),
        metavar="R[,R...]",
        help="the workers of the queue want the same bytes, or each its own (same)",
    )
    add(
        "--held",
        action=Listed,
        type=several(0),
        metavar="N[,N...]",
        help="so many ranges of the file are held already (0)",
    )
    add("--hold", type=microseconds, metavar="US", help="work so long inside each lock of the queue (0)")
    add("--think", type=microseconds, metavar="US", help="work so long between two of them (0)")
    add(
        "--pin",
        choices=("none", "spread", "one"),
        help="leave the workers' CPUs to the kernel, deal them out, or share one (spread)",
    )
    add = parser.add_argument_group("backings").add_argument
    add(
        "--backing",
        action=Listed,
        type=names,
        nargs="?",
        const=[],
        metavar="NAME[,NAME...]",
        help="alone: copying through this backing, all where none is named (see "
        "`lab list`). Beside options of locks: each pair adds 1 to a counter in it",
    )
    add(
        "--sizes",
        action=Listed,
        type=several(1, MOST_BYTES),
        metavar="N[,N...]",
        help="bytes a load or store (64,4096,1048576)",
    )
    group = parser.add_argument_group("how")
    add = group.add_argument
    add_directories(group)
    add("--seconds", type=positive, default=1.0, metavar="S", help="a case or backing, all its repeats together (1)")
    add("--repeats", type=at_least(5), default=31, metavar="N", help="how often each figure is measured (31)")
    group = parser.add_argument_group("output")
    add = group.add_argument
    add_tables(group)
    add_shared(group, "json", "save")
    add(
        "--trace",
        type=file_name,
        metavar="PATH",
        help="of locks: also write who waited and held when, for some hundreds of holds of each case, as a trace for "
        "Perfetto and chrome://tracing",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, save, print; a stop keeps the repeats that were finished."""
    from lab.measuring.run import run as bench
    from lab.processes import stops_held, stops_interrupt
    from lab.report.format import check_format
    from lab.report.progress import Progress

    from .documents import Documents

    check_format(arguments.format)
    options = _of_copying(arguments) if _copies(arguments) else _of_locks(arguments)
    with Documents("bench", arguments, keep=bool(options.locks)) as documents:
        if arguments.trace:
            documents.trace(arguments.trace)
        with stops_interrupt(), Progress(options.repeats + 1, shown=sys.stderr.isatty()) as progress:
            done = bench(options, progress.tell)
        with stops_held():
            return documents.finish(done)


def _copies(arguments: argparse.Namespace) -> bool:
    """Return True for a benchmark of copying.

    Raise UsageError for sizes of copies without copying or beside locks, and for a trace of copying.
    """
    of_locks = [name for name in OF_LOCKS if getattr(arguments, name) is not None]
    if arguments.sizes and (of_locks or arguments.backing is None):
        raise UsageError("--sizes is about copying; give --backing alone, or leave it out")
    copies = arguments.backing is not None and not of_locks
    if copies and arguments.trace:
        raise UsageError("--trace is about locks: copying takes none; add --lock NAME, or leave it out")
    return copies


def _of_copying(arguments: argparse.Namespace) -> BenchOptions:
    from lab.measuring.copying import SIZES
    from lab.records import BenchOptions

    return BenchOptions(
        backings=_backings(arguments.backing),
        sizes=arguments.sizes or list(SIZES),
        directory=str(directories_of(arguments, 1)[0]),
        seconds=arguments.seconds,
        repeats=arguments.repeats,
    )


def _of_locks(arguments: argparse.Namespace) -> BenchOptions:
    from lab.locking.registry import KERNEL
    from lab.measuring.cases import MOST_HELD, PRICES
    from lab.records import BenchOptions

    if max(arguments.held or [0]) > MOST_HELD:
        raise UsageError(f"--held {max(arguments.held)} is too many: at most {MOST_HELD:,}")
    if arguments.price == ["hand-off"] and arguments.workers == [1]:
        raise UsageError("--price hand-off: one worker has nobody to hand over to; give --workers 2 or more")
    workers, prices = arguments.workers or [2], arguments.price or list(PRICES)
    directories = directories_of(arguments, 1 if prices == ["uncontended"] else max(workers))
    return BenchOptions(
        backings=_backings(arguments.backing),
        sizes=[],
        directory=str(directories[0]),
        directories=[str(each) for each in directories if directories[1:]],
        seconds=arguments.seconds,
        repeats=arguments.repeats,
        locks=_locks(arguments.lock or KERNEL),
        prices=prices,
        workers=workers,
        ranges=arguments.ranges or ["same"],
        held=arguments.held or [0],
        hold_ns=arguments.hold or 0,
        think_ns=arguments.think or 0,
        pin=arguments.pin or "spread",
    )


def _backings(names: Sequence[str] | None) -> list[str]:
    """Return each backing once; all where the option came without a name, none where it did not come."""
    from lab.memory import BACKINGS, find_backing

    return [] if names is None else list(dict.fromkeys(find_backing(name).name for name in names or BACKINGS))


def _locks(names: Sequence[str]) -> list[str]:
    """Return each lock once. Raise UsageError for one that does not exclude, and for two with the same name."""
    from lab.locking import find_lock

    called: dict[str, str] = {}
    for name in names:
        found = find_lock(name)
        if not found.excludes:
            raise UsageError(f"--lock {name}: excludes nobody, so there is no cost; see `lab list`")
        if called.setdefault(found.name, name) != name:
            raise UsageError(
                f"--lock {name}: is called {found.name}, as {called[found.name]} is, and rows are distinguished by "
                "that; give it another name, or measure it by itself"
            )
    return list(called.values())
