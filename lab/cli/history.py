"""Judge a recorded history: is there an order of its calls that explains every result (linearizability).

The history is JSON lines, one a call: process, op, args, result, start_ns, end_ns. A call without an end may have
happened. `from lab.calls import Calls` records one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.api.values import file_name, positive

from .options import add_shared

OBJECTS = ("register", "map", "log", "counter", "queue", "stack", "mutex")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `history`."""
    add = parser.add_argument
    add("file", metavar="FILE", help="the history; - reads standard input")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--as", dest="object", choices=OBJECTS, default="", metavar="OBJECT",
        help=f"the calls are of a {', '.join(OBJECTS[:-1])} or {OBJECTS[-1]} (the first that has all their names)",
    )  # fmt: skip
    kind.add_argument(
        "--model",
        type=file_name,
        metavar="FILE.py",
        help="they are of the object that its class Model describes: a method for each call, which returns its result",
    )
    add(
        "--format",
        dest="history_format",
        choices=("jsonl", "jepsen", "etcd"),
        metavar="NAME",
        help="jsonl; jepsen: a history in EDN; etcd: a log of Jepsen's tests of etcd (what the text looks like)",
    )
    add("--time-limit", type=positive, default=10.0, metavar="S", help="give up after so many seconds (10)")
    add_shared(parser, "json", "save")


def run(arguments: argparse.Namespace) -> int:
    """Read, judge, print."""
    from lab.api.histories import history

    from .documents import Documents

    with Documents("history", arguments) as documents:
        job = history(
            arguments.file,
            object=arguments.object,
            model=Path(arguments.model) if arguments.model else None,
            format=arguments.history_format,
            time_limit=arguments.time_limit,
        )
        return documents.finish(job.perform(lambda title: None))
