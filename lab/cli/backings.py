"""Compare the ways to share bytes, mapped files and shared memory, each cell of the table as it is here."""

from __future__ import annotations

import argparse
import sys

from .options import directory, path_or_dash, temporary_directory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `backings`."""
    add = parser.add_argument
    add(
        "--dir",
        type=directory,
        default=temporary_directory(),
        metavar="DIR",
        help="where the files lie (the system's temporary directory)",
    )
    add("--format", default="simple", metavar="NAME", help="of the table: any that tabulate has, or csv (simple)")
    add("--json", type=path_or_dash, metavar="PATH", help="also write the document there; - prints it instead")
    add("--save", type=directory, metavar="DIR", help="keep the document in this folder")


def run(arguments: argparse.Namespace) -> int:
    """Look, save, print; a stop ends it as Ctrl-C does."""
    from lab.processes import stops_interrupt
    from lab.report.format import check_format
    from lab.report.progress import Progress
    from lab.survey.backings import BACKINGS, compare

    from .documents import Documents

    check_format(arguments.format)
    with Documents("backings", arguments.json, arguments.save, keep=bool(arguments.save)) as documents:
        with stops_interrupt(), Progress(len(BACKINGS), shown=sys.stderr.isatty()) as progress:
            done = compare(arguments.dir, progress.tell)
        documents.write(done)
        from .documents import conclude

        return conclude(done, documents, style=arguments.format)
