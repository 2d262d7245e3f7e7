"""Compare the ways to share bytes, mapped files and shared memory, each cell of the table as it is here."""

from __future__ import annotations

import argparse
import sys

from .options import add_shared, add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `backings`."""
    add_shared(parser, "dir")
    add_tables(parser)
    add_shared(parser, "json", "save")


def run(arguments: argparse.Namespace) -> int:
    """Compare, save, print; a stop ends it as Ctrl-C does."""
    from lab.processes import stops_interrupt
    from lab.report.format import check_format
    from lab.report.progress import Progress
    from lab.survey.backings import BACKINGS, compare

    from .documents import Documents

    check_format(arguments.format)
    with Documents("backings", arguments) as documents:
        shown = sys.stderr.isatty()
        with stops_interrupt(), Progress(len(BACKINGS), shown=shown) as progress:
            done = compare(arguments.dir, progress.tell)
        return documents.finish(done)
