"""Race N worker processes on the same bytes, with and without locks, and print what broke and what it cost."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lab.api.values import (
    FAULTS,
    ISOLATED,
    MOST_WORKERS,
    PINS,
    RECORDED,
    TIMEOUT_S,
    TRIALS,
    at_least,
    file_name,
    names,
    positive,
    probability,
    rare,
    several,
)

from .hosts import add_hosts, reach_of
from .options import (
    Listed,
    add_directories,
    add_locks,
    add_saving,
    add_scenarios,
    add_shared,
    add_tables,
    add_workers,
    directories_of,
)
from .programs import add_program_arguments, cases_asked_for, check_program, scenarios_of

if TYPE_CHECKING:
    from lab.records import Document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `race`."""
    add_scenarios(parser)
    what = parser.add_argument_group("what to race")
    add = what.add_argument
    add("--counterexamples", action="store_true", help="also those that break although they are locked")
    add_locks(what, "under this lock (see `lab list`)")
    add(
        "--backing",
        action=Listed,
        type=names,
        metavar="NAME[,NAME...]",
        help="the bytes shared in this way (the scenario's own, mapped as a rule; see `lab list`)",
    )
    add_workers(what, several(1, MOST_WORKERS), [4], "processes that race (4)")
    add(
        "-n",
        "--rounds",
        type=at_least(1),
        metavar="N",
        help="rounds of each worker (the scenario's own "
        "number; without --rounds and --trials, more where a case should break and does not)",
    )
    add("--trials", type=at_least(1), metavar="N", help=f"repetitions, each with a fresh file ({TRIALS})")
    add_directories(what)
    over = parser.add_argument_group("over several hosts")
    add_hosts(over)
    over.add_argument(
        "--no-tickets",
        action="store_true",
        help="draw no tickets inside the locks: holds stay as short as they are, and clocks alone compare them",
    )
    over.add_argument(
        "--leak-on", action=Listed, type=names, default=[], metavar="HOST[,HOST...]", help="--leak on these hosts alone"
    )
    add_program_arguments(parser)
    how = parser.add_argument_group("how")
    add = how.add_argument
    add_shared(how, "seed")
    add("--pin", choices=PINS, help="leave the workers' CPUs to the kernel, deal them out, or share one")
    add(
        "--window",
        type=at_least(0),
        default=0,
        metavar="NS",
        help="widen the race window: spin so long before each store",
    )
    add(
        "--leak",
        type=probability,
        default=0.0,
        metavar="P",
        help="negative control: grant falsely with this probability",
    )
    add(
        "--detects",
        type=rare,
        metavar="RATE",
        help="each clean case under a lock must be able to notice false grants of this rate, such as 1e-3 or 1/1000, "
        "with 95 %% probability; one that is weaker is inconclusive, and the race ends with 3",
    )
    add(
        "--faults",
        nargs="?",
        const="short",
        choices=FAULTS,
        default="",
        help="also kill, stop and signal workers while they hold the lock or wait for it, and hold programs between "
        "two system calls, each fault as a row of its own; long ones are stops of 15 s (short for a lock of yours, "
        "module:attribute, and for a program alone; else none)",
    )
    add(
        "--crash",
        choices=("kill",),
        default="",
        help="also kill a holder between two of its stores in each trial of a row of its own, let one more worker "
        "recover (the scenario's recover), and check what is left; lab explore --crash tries every crash point. Of a "
        "--program a copy is killed between two calls, or in a lock, and --recover or one more copy recovers",
    )
    add(
        "--isolate",
        choices=ISOLATED,
        default="",
        help="each worker or program in a pid namespace of its own, with its own /proc, as in containers of its own",
    )
    add(
        "--time-limit",
        type=positive,
        default=30.0,
        metavar="S",
        help="seconds after which a trial counts as hung; 6 times as long while its workers start or do rounds (30)",
    )
    out = parser.add_argument_group("output")
    add = out.add_argument
    add_tables(out)
    add_shared(out, "cost", "json")
    add_saving(out)
    add(
        "--record",
        type=at_least(1),
        nargs="?",
        const=RECORDED,
        default=0,
        metavar="ROUNDS",
        help="write down every load, store and lock of one more trial of each case, of so many rounds of all workers "
        f"together ({RECORDED}), at most the case's own; it counts in no figure",
    )
    add("--html", type=file_name, metavar="PATH", help="also write the page of the run, with --record")
    add(
        "--trace",
        type=file_name,
        metavar="PATH",
        help="also write who waited and held when, and what went wrong, as a trace for Perfetto and chrome://tracing; "
        "with --record: one more trial of each case is written down",
    )
    add("--junit", type=file_name, metavar="PATH", help="also write JUnit XML there: a test case for each row")
    add("--explain", action="store_true", help="after damage: the shortest interleaving that does the same")
    add(
        "--no-explore",
        action="store_true",
        help="do not explore each case that stayed clean, for up to 0.3 s, where it can be simulated",
    )
    add("-q", "--quiet", action="store_true", help="print no tables and no progress, only what went wrong")


def run(arguments: argparse.Namespace) -> int:
    """Race, save, print; a stop before or after the race itself ends it as Ctrl-C does."""
    from lab.processes import stops_interrupt

    with stops_interrupt():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from lab.api import verbs
    from lab.output import complain
    from lab.processes import stops_held
    from lab.report.format import DEFAULT_FORMAT, check_format
    from lab.report.progress import Progress

    from .documents import Documents

    check_format(arguments.format)
    check_hosts(arguments)
    check_program(arguments)
    scenarios = scenarios_of(arguments)
    job = verbs.race(
        scenarios,
        dir=directories_of(arguments),
        reach=reach_of(arguments),
        tickets=not arguments.no_tickets,
        leak_on=arguments.leak_on,
        timeout=arguments.timeout,
        lock=arguments.lock,
        workers=arguments.workers,
        rounds=arguments.rounds,
        trials=arguments.trials,
        backing=arguments.backing,
        seed=arguments.seed,
        pin=arguments.pin,
        window=arguments.window,
        leak=arguments.leak,
        detects=arguments.detects,
        faults="none" if over_hosts(arguments) else arguments.faults,
        crash=arguments.crash,
        isolate=arguments.isolate,
        time_limit=arguments.time_limit,
        record=arguments.record or (RECORDED if arguments.html or arguments.trace else 0),
        explain=arguments.explain,
        explore=not arguments.no_explore,
        program=arguments.program or "",
        program_workers=arguments.program_workers or 0,
        check=arguments.check or "",
        prepare=arguments.prepare or "",
        recover=arguments.recover or "",
        watch=arguments.watch,
        suppress=arguments.suppress,
        ignore=arguments.ignore,
        make_cases=cases_asked_for,
    )
    with Documents("race", arguments, keep=not arguments.no_save) as documents:
        if arguments.html:
            documents.also(arguments.html, "give another --html PATH", _page)
        if arguments.junit:
            documents.also(arguments.junit, "give another --junit PATH", _junit)
        if arguments.trace:
            documents.trace(arguments.trace)
        shown = sys.stderr.isatty() and not arguments.quiet
        with Progress(job.steps, shown=shown) as progress:
            done = job.perform(progress.tell)
        with stops_held():  # what was measured is written and reported, however impatient the user
            documents.write(done)
            from lab.report.text.race_verdict import heading

            options = done.options
            if arguments.explain:
                from lab.exploring.beside_race import unmodelled

                complain(*unmodelled(done))
            if arguments.format != DEFAULT_FORMAT and (options.window_ns or options.leak):
                complain(heading(done))
            return documents.report(done)


def check_hosts(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that make no sense over several hosts, or without them."""
    from lab.errors import UsageError

    if not over_hosts(arguments):
        for name in ("no_tickets", "leak_on", "python", "ssh_config", "rsh", "timeout"):
            if getattr(arguments, name) not in (None, "", False, [], TIMEOUT_S):
                raise UsageError(f"--{name.replace('_', '-')}: belongs to --hosts; add it, or leave it out")
        return
    for name in ONE_HOST:
        if getattr(arguments, name):
            raise UsageError(f"--{name.replace('_', '-')}: works on one host; leave it out, or --hosts")
    if len(arguments.dir or ()) != 1 or not arguments.dir[0].is_absolute():
        raise UsageError("--hosts: which directory do they share? Give one --dir, the whole path as it is on the hosts")
    if arguments.leak_on and not arguments.leak:
        raise UsageError("--leak-on: belongs to --leak; add it, or leave it out")


def over_hosts(arguments: argparse.Namespace) -> bool:
    """Return True where hosts are named."""
    return bool(arguments.hosts or arguments.hosts_file or arguments.mpi)


ONE_HOST = ("program", "check", "prepare", "recover", "watch", "faults", "crash", "isolate", "record", "html", "trace")
"""The options that so far work on one host only."""


def _junit(done: Document) -> bytes:
    """Return the rows as JUnit XML; its module is imported after the last fork."""
    from lab.report.junit import junit

    return junit(done)


def _page(done: Document) -> bytes:
    """Return the page of a run; it is made after the last fork."""
    from lab.records import Run

    from .page import render_page

    return render_page(done if isinstance(done, Run) else None)
