"""Print what an earlier run found again, from its results document, in any format."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "report"
HELP = "print what an earlier run found again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `report`."""
    parser.add_argument("results", type=Path, metavar="RUN.json", help="a document that a command of the lab wrote")
    parser.add_argument("--format", default="simple", metavar="NAME", help="any that tabulate has, or csv (simple)")


def run(arguments: argparse.Namespace) -> int:
    """Load, print."""
    from lab.report.formats import check_format
    from lab.report.reports import report_of
    from lab.results import load_any

    from .show import show

    check_format(arguments.format)
    document = load_any(arguments.results)
    report = report_of(document)
    show(report.text_of(document, arguments.format), report.colours)
    return 0
