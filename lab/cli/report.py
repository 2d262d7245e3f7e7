"""Print what an earlier run found again, from its results document; its tables in any format.

What went wrong stands on stderr, as the run had it; the exit code is 0, because reporting worked.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from lab.errors import UsageError
from lab.output import complain

from .options import add_shared, add_tables

REMEDY = "give another --export-markdown PATH"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `report`."""
    parser.add_argument("results", type=Path, metavar="RUN.json", help="a document that a command of the lab wrote")
    add_tables(parser)
    add_shared(parser, "cost", "verbose")


def run(arguments: argparse.Namespace) -> int:
    """Load, print."""
    from lab.records import load_any, untrusted
    from lab.report.documents import report_of
    from lab.report.format import check_format

    from .documents import Target, markdown_of, show, style_of

    check_format(arguments.format)
    document = load_any(arguments.results)
    report = report_of(document)
    style = style_of(arguments)
    if not report.formats and (asked := _asked_of_tables(arguments)):
        raise UsageError(
            f"{asked}: the report of `{document.command}` is no table; leave {asked.partition(' ')[0]} out"
        )
    if style.cost and not report.has_costs:
        raise UsageError(f"--cost: the report of `{document.command}` has no further tables; leave --cost out")
    if not report.full_text_of and arguments.verbose:
        raise UsageError(f"--verbose: the report of `{document.command}` leaves nothing out; leave --verbose out")
    target = Target.open(arguments.export_markdown, REMEDY) if arguments.export_markdown else None
    with untrusted(arguments.results), target or nullcontext():
        show(report.text(document, style, full=arguments.verbose), report.colours)
        if target:
            target.put(markdown_of(document, style))
        complain(*report.beside(document))
    return 0


def _asked_of_tables(arguments: argparse.Namespace) -> str:
    """Return the first option about tables that was given; empty where there is none."""
    asked = {
        f"--format {arguments.format}": arguments.format != "simple",
        "--wide": arguments.wide,
        "--export-markdown": arguments.export_markdown,
    }
    return next((option for option, given in asked.items() if given), "")
