"""Write a first scenario of your own: a commented file in this folder that runs at once."""

from __future__ import annotations

import argparse

from lab.output import print_text

NEXT = """\
written to {path}; every part is explained in it. Next:

  python -m lab race {path}       without a lock it breaks, under one it does not
  python -m lab explore {path}    every order of the steps: the shortest that breaks it, or none
  python -m lab race --locked --workers 8 {path}    once it is yours: exit code 1 where something broke"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `new`."""
    parser.add_argument("scenario", metavar="NAME", help="of the scenario: NAME.py is written into the current folder")


def run(arguments: argparse.Namespace) -> int:
    """Write, say what to type next."""
    from lab.scenario.skeleton import write_skeleton

    print_text(NEXT.format(path=write_skeleton(arguments.scenario)))
    return 0
