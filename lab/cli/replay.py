"""Perform an interleaving that `explore` found: real processes, the real file, the real lock."""

from __future__ import annotations

import argparse

from lab.api.values import at_least, positive

from .options import add_shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `replay`."""
    add = parser.add_argument
    add("token", metavar="TOKEN", help="what `explore` printed behind `replay`")
    add("--times", type=at_least(1), metavar="N", help="how often (100; with --real 20)")
    add_shared(parser, "dir")
    add("--time-limit", type=positive, default=5.0, metavar="S", help="seconds for a turn to come back (5)")
    add(
        "--real",
        nargs="?",
        const=["all"],
        type=_filesystems,
        metavar="FS",
        help="cut the power of a real filesystem in memory, as root: ext4, xfs, or both with a comma (all that can be "
        "made here)",
    )
    add_shared(parser, "json", "save")
    add("-q", "--quiet", action="store_true", help="print only what went wrong")


def _filesystems(text: str) -> list[str]:
    if text[:1] == "L" and "," in text:
        raise argparse.ArgumentTypeError("the token comes first: lab replay TOKEN --real")
    return text.split(",")


def run(arguments: argparse.Namespace) -> int:
    """Replay, save, print."""
    from lab.api import verbs

    from .documents import Documents

    job = verbs.replay(
        arguments.token,
        dir=arguments.dir,
        times=arguments.times or (20 if arguments.real else 100),
        time_limit=arguments.time_limit,
        real=arguments.real,
    )
    with Documents("replay", arguments) as documents:
        return documents.finish(job.perform(lambda title: None))
