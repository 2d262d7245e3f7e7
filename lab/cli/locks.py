"""Compare the locks: what each keeps out, lets in, survives and costs, each cell of the table seen here.

Of one lock, its cells with the calls that show them.
"""

from __future__ import annotations

import argparse
import sys

from .options import add_shared, add_tables, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `locks`."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="these locks only (see `lab list`), or yours as module:attribute")
    add_shared(parser, "dir")
    add("--seconds", type=positive, default=5.0, metavar="S", help="the longest that one cell may take (5)")
    add_tables(parser)
    add_shared(parser, "json", "save")


def run(arguments: argparse.Namespace) -> int:
    """Compare, save, print; a stop ends it as Ctrl-C does."""
    from lab.api import verbs
    from lab.processes import stops_interrupt
    from lab.report.format import check_format
    from lab.report.progress import Progress

    from .documents import Documents

    check_format(arguments.format)
    job = verbs.locks(arguments.names, dir=arguments.dir, seconds=arguments.seconds)
    with Documents("locks", arguments) as documents:
        with stops_interrupt(), Progress(job.steps, shown=sys.stderr.isatty()) as progress:
            done = job.perform(progress.tell)
        return documents.finish(done)
