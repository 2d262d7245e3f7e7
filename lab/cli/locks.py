"""Compare the locks: what each keeps out, lets in, survives and costs, each cell of the table seen here.

Of one lock, its cells with the calls that show them. With --need: which locks have all these properties, what each
other lock lacks, and exit code 3 where none is left.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from lab.api.values import names, positive

from .options import Listed, add_shared, add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `locks`."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="these locks only (see `lab list`), or yours as module:attribute")
    add(
        "--need",
        action=Listed,
        type=names,
        default=[],
        metavar="PROPERTY[,PROPERTY...]",
        help="name the locks that have all of these, such as threads,kill,ranges (the words of the columns; order: "
        "first come, first served)",
    )
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
    from lab.survey import needs_of

    from .documents import Documents

    check_format(arguments.format)
    needs = needs_of(arguments.need)
    job = verbs.locks(arguments.names, dir=arguments.dir, seconds=arguments.seconds)
    with Documents("locks", arguments) as documents:
        with stops_interrupt(), Progress(job.steps, shown=sys.stderr.isatty()) as progress:
            done = job.perform(progress.tell)
        return documents.finish(replace(done, needs=needs))
