"""Print what an earlier run found again, from its results document; its tables in any format.

What went wrong stands on stderr, as the run had it; the exit code is 0, because reporting worked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.errors import UsageError
from lab.output import complain

from .options import add_shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `report`."""
    parser.add_argument("results", type=Path, metavar="RUN.json", help="a document that a command of the lab wrote")
    add_shared(parser, "format", "verbose")


def run(arguments: argparse.Namespace) -> int:
    """Load, print."""
    from lab.records import load_any, untrusted
    from lab.report.documents import report_of
    from lab.report.format import DEFAULT_FORMAT, check_format

    from .documents import show

    check_format(arguments.format)
    document = load_any(arguments.results)
    report = report_of(document)
    if not report.formats and arguments.format != DEFAULT_FORMAT:
        raise UsageError(
            f"--format {arguments.format}: the report of `{document.command}` is no table; leave --format out"
        )
    if not report.full_text_of and arguments.verbose:
        raise UsageError(f"--verbose: the report of `{document.command}` leaves nothing out; leave --verbose out")
    with untrusted(arguments.results):
        show(report.text(document, arguments.format, full=arguments.verbose), report.colours)
        complain(*report.beside(document))
    return 0
