"""Run every interleaving of a scenario over simulated bytes: the shortest one that breaks, or none."""

from __future__ import annotations

import argparse
import sys

from lab.api.values import SEARCHES, at_least, positive, several, several_of

from .options import Listed, add_locks, add_scenarios, add_shared, add_tables, add_workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `explore`."""
    add_scenarios(parser)
    what = parser.add_argument_group("what to explore")
    add = what.add_argument
    add(
        "--counterexamples",
        action="store_true",
        help="also those that break although they are locked, as far as simulated",
    )
    add_locks(what, "under this lock: none, fcntl, ofd, flock")
    add_workers(what, several(1), None, "simulated processes (2; for operations 2,3)")
    add(
        "-n",
        "--rounds",
        action=Listed,
        type=several(1),
        default=[2],
        metavar="N[,N...]",
        help="rounds of each worker (2)",
    )
    add(
        "--operations",
        type=at_least(2),
        metavar="N",
        help="of a structure with operations: all programs of up to so many calls (4); without a name, of all built-in "
        "structures",
    )
    group = parser.add_argument_group("crashes")
    add = group.add_argument
    add(
        "--crash",
        action=Listed,
        type=several_of(("kill", "power")),
        metavar="KIND[,KIND]",
        help="kill: a worker ends between two steps; power: all end, and what was not synced may be lost. Then one "
        "more worker recovers, and the scenario is checked",
    )
    add("--unit", choices=("page", "sector", "line"), default="page", help="what a disk writes whole (page)")
    add("--crashes", type=at_least(1), default=2, metavar="N", help="the most crashes in a row (2)")
    group = parser.add_argument_group("how")
    add = group.add_argument
    add(
        "--search",
        choices=SEARCHES,
        default="auto",
        help="auto: rising preemptions up to the first failure, then every state, then at random; bound: all with up "
        "to --preemptions; all: every schedule is run; states: every state once; dpor: one run a class of schedules; "
        "random, pct: at random",
    )
    add("--preemptions", type=at_least(0), default=3, metavar="N", help="the largest bound (3)")
    add("--tear", type=at_least(1), metavar="BYTES", help="the widest move of a copy (as this machine: 64, 32 or 16)")
    add("--time-limit", type=positive, default=10.0, metavar="S", help="seconds for each case (10)")
    add("--jobs", type=at_least(1), default=1, metavar="N", help="processes, for states threads; not bound, dpor (1)")
    add_shared(group, "seed")
    group = parser.add_argument_group("output")
    add = group.add_argument
    add_tables(group)
    add("--show-schedules", type=at_least(0), default=0, metavar="N", help="list the schedules of the first N runs")
    add_shared(group, "json", "save")
    add("-q", "--quiet", action="store_true", help="print only what went wrong")


def run(arguments: argparse.Namespace) -> int:
    """Explore, save, print."""
    from lab.api import verbs
    from lab.gallery import operations_names
    from lab.report.format import check_format
    from lab.report.progress import Progress
    from lab.scenario import find_scenarios

    from .documents import Documents

    check_format(arguments.format)
    crashes = bool(arguments.crash)
    names = arguments.scenarios or (operations_names() if arguments.operations else [])
    scenarios = find_scenarios(names, counterexamples=arguments.counterexamples, crashes=crashes)
    if arguments.counterexamples:
        scenarios = [found for found in scenarios if not found.counterexample or "explore" in found.kind.worlds]
    job = verbs.explore(
        scenarios,
        lock=arguments.lock,
        workers=arguments.workers,
        rounds=arguments.rounds,
        operations=arguments.operations,
        search=arguments.search,
        preemptions=arguments.preemptions,
        tear=arguments.tear,
        time_limit=arguments.time_limit,
        jobs=arguments.jobs,
        seed=arguments.seed,
        show_schedules=arguments.show_schedules,
        crash=arguments.crash,
        unit=arguments.unit,
        crashes=arguments.crashes,
    )
    with Documents("explore", arguments) as documents:
        shown = sys.stderr.isatty() and not arguments.quiet
        with Progress(job.steps, shown=shown) as progress:
            return documents.finish(job.perform(progress.tell))
