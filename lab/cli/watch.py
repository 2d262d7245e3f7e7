"""Run a program, unchanged, and judge its locking of every shared file: what is wrong, at which line, and why.

The program and all that it starts is watched by a library that the loader preloads. Give the command behind --.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.api.values import at_least, file_name, names, positive

from .options import Listed, add_shared, add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `watch`."""
    parser.add_argument(
        "program",
        nargs="*",
        metavar="COMMAND",
        help="the command and its arguments, behind --; {worker} is the number of the copy, {workers} how many run",
    )
    what = parser.add_argument_group("what to watch")
    add = what.add_argument
    add("-n", "--copies", type=at_least(1), default=1, metavar="N", help="run so many copies, released together (1)")
    add(
        "--file",
        action="append",
        default=[],
        metavar="GLOB",
        help="judge only the files that this matches, by path or by name, and all that is done to them; repeatable "
        "(those that somebody locks, or that two processes write)",
    )
    add("--ignore", action=Listed, type=names, default=[], metavar="CAUSE[,CAUSE...]", help="do not report this cause")
    add(
        "--suppress",
        action="append",
        default=[],
        metavar="FILE",
        help="accesses that are not judged, one a line, such as reads 0-99 *.db; or the name of a library that the lab "
        "knows (sqlite); repeatable",
    )
    add("--time-limit", type=positive, default=3600.0, metavar="S", help="end what still runs after so long (3600)")
    add("--keep", default="", metavar="DIR", help="keep the logs in this new folder")
    add("--read", type=Path, metavar="DIR", help="judge the logs of an earlier run again, instead of running a command")
    out = parser.add_argument_group("output")
    add_tables(out)
    add_shared(out, "json", "save")
    out.add_argument("--junit", type=file_name, metavar="PATH", help="also write JUnit XML there: a test case a cause")
    out.add_argument("-v", "--verbose", action="store_true", help="all pairs of lines, with their stacks")
    out.add_argument("-q", "--quiet", action="store_true", help="print only what is wrong")


def run(arguments: argparse.Namespace) -> int:
    """Watch, save, print; a stop ends it as Ctrl-C does."""
    from lab.errors import UsageError, unknown
    from lab.processes import stops_interrupt
    from lab.records import WatchOptions
    from lab.report.format import check_format
    from lab.report.text.watch import CAUSES

    from .documents import Documents

    check_format(arguments.format)
    for cause in arguments.ignore:
        if cause not in CAUSES:
            raise unknown("cause", cause, list(CAUSES))
    if bool(arguments.program) == bool(arguments.read):
        raise UsageError("give a command behind --, as in lab watch -- ./prog; or --read DIR")
    options = WatchOptions(
        command=arguments.program,
        copies=arguments.copies,
        files=arguments.file,
        ignore=arguments.ignore,
        suppress=arguments.suppress,
        time_limit_s=arguments.time_limit,
        keep=arguments.keep,
    )
    with Documents("watch", arguments) as documents, stops_interrupt():
        from lab.report.junit import junit
        from lab.watching.run import judge_again, watch

        if arguments.junit:
            documents.also(arguments.junit, "give another --junit PATH", junit)
        return documents.finish(judge_again(arguments.read, options) if arguments.read else watch(options))
