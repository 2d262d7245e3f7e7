"""The tutorial on memory-mapped files, claim by claim, each made to happen here: what is expected, what is observed.

Without --strict the exit code is 0, also where this system differs from the tutorial; differences are marked.
"""

from __future__ import annotations

import argparse

from lab.output import print_text

from .options import add_shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tour`."""
    add = parser.add_argument
    add("step", nargs="?", metavar="STEP", help="a step's number or name (all)")
    add("--list", action="store_true", help="print number, name and claim of every step instead")
    add("--strict", action="store_true", help="a line a step; exit code 1 where this system differs from the tutorial")
    add_shared(parser, "dir", "json")


def run(arguments: argparse.Namespace) -> int:
    """Perform, write, print; a stop ends it as Ctrl-C does."""
    from lab.processes import stops_interrupt
    from lab.tutorial.tour import choose_steps

    steps = choose_steps(arguments.step)
    if arguments.list:
        from lab.report.format import wrapped

        for number, step in steps:
            print_text(wrapped(step.claim, f"{number:2}  {step.name:12} "))
        return 0
    with stops_interrupt():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from lab.tutorial.tour import choose_steps, tour

    from .documents import Documents

    with Documents("tour", arguments) as documents:
        done = tour(choose_steps(arguments.step), arguments.dir)
        from lab.report.text.tour import STRICT

        return documents.finish(done, STRICT if arguments.strict else None)
