"""Measure what locks cost here: uncontended, handed over, and in a queue. With --backing alone: what copying costs.

Each price is defined under the table, beside what the harness itself costs. `lab compare` holds two such runs against
each other, `lab plot` draws one.
"""

from __future__ import annotations

import argparse
import sys

from lab.api.values import (
    MOST_BYTES,
    MOST_WORKERS,
    at_least,
    file_name,
    microseconds,
    names,
    positive,
    several,
    several_of,
)

from .options import Listed, add_directories, add_shared, add_tables, add_workers, directories_of


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
    add(
        "--native",
        action="store_true",
        help="lock, add 1 and unlock in C, recorded as ever: what a pair costs without Python (kernel locks)",
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
    from lab.api import verbs
    from lab.processes import stops_held, stops_interrupt
    from lab.report.format import check_format
    from lab.report.progress import Progress

    from .documents import Documents

    check_format(arguments.format)
    job = verbs.bench(
        dir=directories_of(arguments),
        lock=arguments.lock,
        price=arguments.price,
        workers=arguments.workers,
        ranges=arguments.ranges,
        held=arguments.held,
        hold=arguments.hold,
        think=arguments.think,
        pin=arguments.pin,
        backing=arguments.backing,
        sizes=arguments.sizes,
        seconds=arguments.seconds,
        repeats=arguments.repeats,
        native=arguments.native,
        trace=bool(arguments.trace),
    )
    with Documents("bench", arguments, keep=job.keeps) as documents:
        if arguments.trace:
            documents.trace(arguments.trace)
        with stops_interrupt(), Progress(job.steps, shown=sys.stderr.isatty()) as progress:
            done = job.perform(progress.tell)
        with stops_held():
            return documents.finish(done)
