"""Compare two runs: what changed between them, and is it more than noise.

Cases are paired by their names; of each the ratio of the medians, after to before, with its interval. The runs are two
of `bench`, or two of `race`, measured on like machines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.api.values import percent

from .options import add_shared, add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `compare`."""
    add = parser.add_argument
    add("before", type=Path, metavar="BEFORE.json", help="a document that `bench` or `race` wrote")
    add("after", type=Path, metavar="AFTER.json", help="one of the same cases, to be held against it")
    add(
        "--fail-slower",
        type=percent,
        metavar="N%",
        help="end with 1 where a case has become slower by more than that; less counts as no change (never; 10%%)",
    )
    add(
        "--anyway",
        action="store_true",
        help="compare also what was not measured alike: another machine, filesystem, Python",
    )
    add_tables(parser)
    add_shared(parser, "json")


def run(arguments: argparse.Namespace) -> int:
    """Load, compare, print."""
    from lab.host.environment import anonymous_text
    from lab.measuring.compare import MARGIN, compare
    from lab.records import CompareOptions, load_any, untrusted
    from lab.report.format import check_format

    from .documents import Documents

    check_format(arguments.format)
    options = CompareOptions(
        before=anonymous_text(str(arguments.before)),
        after=anonymous_text(str(arguments.after)),
        margin=MARGIN if arguments.fail_slower is None else arguments.fail_slower,
        fail_slower=arguments.fail_slower is not None,
        anyway=arguments.anyway,
    )
    with Documents("compare", arguments) as documents:
        before, after = load_any(arguments.before), load_any(arguments.after)
        with untrusted(arguments.before, arguments.after):
            done = compare(before, after, options)
        return documents.finish(done)
