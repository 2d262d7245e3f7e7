"""Measure what things cost here: copying through a mapping against read and write, in every region."""

from __future__ import annotations

import argparse
import sys

from .values import at_least, directory, path_or_dash, positive, several, temporary_directory

NAME = "bench"
HELP = "measure what copying through each region costs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `bench`."""
    add = parser.add_argument_group("what to measure").add_argument
    add(
        "--region",
        action="extend",
        nargs="*",
        required=True,
        metavar="NAME",
        help="copying through this region; repeatable, several at once, all where none is named (see `lab list`)",
    )
    add("--sizes", type=several(1), metavar="N[,N...]", help="bytes a load or store (64,4096,1048576)")
    add(
        "--dir",
        type=directory,
        default=temporary_directory(),
        metavar="DIR",
        help="where the file lies (the system's temporary directory)",
    )
    add = parser.add_argument_group("how").add_argument
    add("--seconds", type=positive, default=3.0, metavar="S", help="for all of it together (3)")
    add("--repeats", type=at_least(5), default=9, metavar="N", help="how often each figure is measured (9)")
    add = parser.add_argument_group("output").add_argument
    add("--format", default="simple", metavar="NAME", help="of the table: any that tabulate has, or csv (simple)")
    add("--json", type=path_or_dash, metavar="PATH", help="also write the document there; - prints it instead")
    add("--save", type=directory, metavar="DIR", help="keep the document in this folder")


def run(arguments: argparse.Namespace) -> int:
    """Measure, save, print; a stop ends it as Ctrl-C does."""
    from lab.bench.copying import SIZES
    from lab.bench.run import run as bench
    from lab.processes import stops_interrupt
    from lab.regions import REGIONS, find_region
    from lab.report.formats import check_format
    from lab.report.progress import Progress
    from lab.results import BenchOptions

    from .documents import Documents

    check_format(arguments.format)
    options = BenchOptions(
        regions=list(dict.fromkeys(find_region(name).name for name in arguments.region or REGIONS)),
        sizes=arguments.sizes or list(SIZES),
        directory=str(arguments.dir),
        seconds=arguments.seconds,
        repeats=arguments.repeats,
    )
    with Documents(NAME, arguments.json, arguments.save, keep=bool(arguments.save)) as documents:
        with stops_interrupt(), Progress(options.repeats + 1, shown=sys.stderr.isatty()) as progress:
            done = bench(options, progress.tell)
        documents.write(done)
        from .show import conclude

        return conclude(done, documents, style=arguments.format)
