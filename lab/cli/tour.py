"""The chapter on memory-mapped files, claim by claim, each made to happen here: what is expected, what is observed.

Without --check the exit code is 0, also where this system differs from the chapter; differences are marked.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .values import directory, path_or_dash, temporary_directory

if TYPE_CHECKING:
    from lab.results import Tour

    from .documents import Documents

NAME = "tour"
HELP = "the chapter's claims on mapped files, each run here"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tour`."""
    add = parser.add_argument
    add("step", nargs="?", metavar="STEP", help="a step's number or name (all)")
    add("--list", action="store_true", help="print number, name and claim of every step instead")
    add("--check", action="store_true", help="a line a step; exit code 1 where this system differs from the chapter")
    add(
        "--dir",
        type=directory,
        default=temporary_directory(),
        metavar="DIR",
        help="where the files are made (the system's)",
    )
    add("--json", type=path_or_dash, metavar="PATH", help="also write the document there; - prints it instead")


def run(arguments: argparse.Namespace) -> int:
    """Perform, write, print; a stop ends it as Ctrl-C does."""
    from lab.chapter.tour import chosen
    from lab.processes import Terminated, stop_on_sigterm

    steps = chosen(arguments.step)
    if arguments.list:
        from lab.report.words import wrapped

        for number, step in steps:
            print(wrapped(step.claim, f"{number:2}  {step.name:12} "))  # noqa: T201
        return 0
    try:
        with stop_on_sigterm():
            return _run(arguments)
    except Terminated:
        raise KeyboardInterrupt from None


def _run(arguments: argparse.Namespace) -> int:
    from lab.chapter.tour import chosen, tour

    from .documents import Documents

    with Documents(NAME, arguments.json, None, keep=False) as documents:
        done = tour(chosen(arguments.step), arguments.dir)
        documents.write(done)
        from .show import conclude  # tabulate, which it needs, is not for a process that forks

        return _compared(done, documents) if arguments.check else conclude(done, documents)


def _compared(done: Tour, documents: Documents) -> int:
    """Print a line a step, and complain of each difference; the exit code, which is 1 where there is one."""
    from lab.report.reports import TOUR_COLOURS
    from lab.report.toured import complaints, exit_code, summary

    from .show import complain, left, name_written, show

    if not documents.to_stdout:
        show(summary(done), TOUR_COLOURS)
        name_written(documents)
    complain(complaints(done))
    return exit_code(done) or left(documents)
