"""Is locking safe on this mount, and data under the locks: rules, random programs, stress and faults, and advice."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.api.values import MOST_CHECKERS, between, directory, file_name, names, positive, rare
from lab.errors import UsageError

from .documents import put_text
from .hosts import add_hosts, reach_of
from .options import Listed, add_saving, add_shared

if TYPE_CHECKING:
    from lab.checking.runner import Rule

COLUMNS = ("number", "sentence", "source")
WIDTHS = [None, 54, 34]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `check`."""
    from lab.checking.guarantees import BETWEEN_HOSTS, GROUPS, GUARANTEES, PART_NAMES

    parser.add_argument(
        "directories",
        nargs="*",
        type=directory,
        metavar="DIR",
        help="a directory of the filesystem in question; several: the same directory by different mounts; with --hosts "
        "one absolute path, since it is the same on all hosts",
    )
    add = parser.add_argument_group("what to check").add_argument
    add(
        "--only",
        action=Listed,
        type=names,
        default=[],
        metavar="NAME[,NAME...]",
        help=f"guarantees ({', '.join(GUARANTEES)}), groups of them ({', '.join(GROUPS)}), "
        f"or parts ({', '.join(PART_NAMES)}; over several hosts also {', '.join(BETWEEN_HOSTS)})",
    )
    add("--list", action="store_true", help="print the rules instead, those of --only or all; as JSON with --json")
    how = parser.add_argument_group("how")
    add = how.add_argument
    add("--seconds", type=positive, metavar="S", help="for random programs and stress together (4; 8 over hosts)")
    add_shared(how, "seed")
    help_of_workers = f"processes that race in the stress, 2 to {MOST_CHECKERS} (4)"
    add("-w", "--workers", type=between(2, MOST_CHECKERS), default=4, metavar="N", help=help_of_workers)
    add(
        "--detects",
        type=rare,
        metavar="RATE",
        help="the races for each guarantee (locks that exclude, data) must be able to notice faults of this rate, such "
        "as 1e-3 or 1/1000, with 95 %% probability; one that is weaker is inconclusive, and the check ends with 3; "
        "guarantees that rules alone judge have no rate and need none",
    )
    add(
        "--faults",
        action="store_true",
        help="try what may harm a mount too: signals for waiters while a lock is given up, which has deadlocked the "
        "client of a network filesystem; on a filesystem of this kernel alone that is tried always",
    )
    several = parser.add_argument_group("several hosts")
    add_hosts(several)
    add = several.add_argument
    add(
        "--cut",
        default="",
        metavar="COMMAND",
        help="with --faults: a command, run here, that cuts host {} off from the file server, and best leaves ssh "
        "alone; the last of the hosts is cut off while it holds locks",
    )
    add("--heal", default="", metavar="COMMAND", help="the command that brings host {} back; it runs in any case")
    add(
        "--cut-seconds",
        type=positive,
        default=120.0,
        metavar="S",
        help="the longest cut (120): longer than the leases of the server, or the time after which it gives up a host",
    )
    out = parser.add_argument_group("output")
    add = out.add_argument
    add_shared(out, "json")
    add("--junit", type=file_name, metavar="PATH", help="also write JUnit XML there")
    add_saving(out)
    length = out.add_mutually_exclusive_group()
    add_shared(length, "verbose")
    length.add_argument(
        "-q", "--quiet", action="store_true", help="print no report and no progress, only what is not safe"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, save, print; a stop before or after the check itself ends it as Ctrl-C does."""
    from lab.processes import stops_interrupt

    if arguments.list:
        return _list(arguments.json, arguments.only)
    if not arguments.directories:
        raise UsageError("check: give a directory of the filesystem in question; see lab check --help")
    with stops_interrupt():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from lab.api import verbs
    from lab.processes import stops_held
    from lab.report.junit import junit
    from lab.report.progress import Progress

    from .documents import Documents

    job = verbs.check(
        arguments.directories,
        only=arguments.only,
        seconds=arguments.seconds,
        seed=arguments.seed,
        workers=arguments.workers,
        detects=arguments.detects,
        faults=arguments.faults,
        cut=arguments.cut,
        heal=arguments.heal,
        cut_seconds=arguments.cut_seconds,
        timeout=arguments.timeout,
        reach=reach_of(arguments),
    )
    with Documents("check", arguments, keep=not arguments.no_save) as documents:
        if arguments.junit:
            documents.also(arguments.junit, "give another --junit PATH", junit)
        shown = sys.stderr.isatty() and not arguments.quiet
        with Progress(job.steps, shown=shown) as progress:
            done = job.perform(progress.tell)
        with stops_held():  # what was found is written and reported, however impatient the user
            return documents.finish(done)


def _list(json: str | None, only: Sequence[str]) -> int:
    """Print the rules: a table for people, or JSON, which goes into a file where one is named."""
    rules = _rules_of(only)
    text = _as_json(rules) if json else _as_table(rules)
    put_text(text, json or "-")
    return 0


def _rules_of(only: Sequence[str]) -> list[Rule]:
    """Return the rules that a check of these guarantees or parts would judge; on two mounts, where there are most."""
    from lab.checking.request import request_for
    from lab.checking.rules import RULES
    from lab.checking.run import left_to_the_stress, performed

    request = request_for(only)
    numbers = {rule.number for rule in performed(request)} | {rule.number for rule in left_to_the_stress(request)}
    if not numbers:
        raise UsageError(
            f"--list --only {','.join(only)}: no rule is about that; name guarantees, rules, stress or faults"
        )
    return [rule for rule in RULES if rule.number in numbers]


def _as_table(rules: Sequence[Rule]) -> str:
    from tabulate import tabulate

    rows = [(str(rule.number), rule.sentence, rule.source) for rule in rules]
    return tabulate(rows, headers=COLUMNS, tablefmt="simple", maxcolwidths=WIDTHS, disable_numparse=True)


def _as_json(rules: Sequence[Rule]) -> str:
    import json

    entries = [
        {
            "number": rule.number,
            "sentence": rule.sentence,
            "source": rule.source,
            "guarantee": rule.guarantee,
            "guaranteed": not rule.unguaranteed,
            "reason": rule.unguaranteed,
        }
        for rule in rules
    ]
    return json.dumps(entries, indent=1)
