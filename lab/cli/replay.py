"""Perform an interleaving that `explore` found: real processes, the real file, the real lock."""

from __future__ import annotations

import argparse

from lab.api.values import at_least, positive

from .options import add_shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `replay`."""
    add = parser.add_argument
    add("token", metavar="TOKEN", help="what `explore` printed behind `replay`")
    add("--times", type=at_least(1), default=100, metavar="N", help="how often (100)")
    add_shared(parser, "dir")
    add("--time-limit", type=positive, default=5.0, metavar="S", help="seconds for a turn to come back (5)")
    add_shared(parser, "json", "save")
    add("-q", "--quiet", action="store_true", help="print only what went wrong")


def run(arguments: argparse.Namespace) -> int:
    """Replay, save, print."""
    from lab.api import verbs

    from .documents import Documents

    job = verbs.replay(
        arguments.token,
        dir=arguments.dir,
        times=arguments.times,
        time_limit=arguments.time_limit,
    )
    with Documents("replay", arguments) as documents:
        return documents.finish(job.perform(lambda title: None))
