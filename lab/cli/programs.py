"""Define the options of `race` for programs that are not Python's, and check which of them fit together."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lab.api.values import MOST_WORKERS, between, names
from lab.errors import UsageError

from .options import Listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.racing import Case
    from lab.records import Options
    from lab.scenario import Found

UNSEEN = "an outside program's loads and stores cannot be seen; leave it out"
UNRECORDED = "the holds of a program alone are not recorded, so no false grant could be noticed; add --watch"
ITS_OWN = "a program alone has a lock and a memory of its own; leave it out, or name a SCENARIO and --program-workers"


def add_program_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--program` and the options that belong to it."""
    add = parser.add_argument_group("programs in any language").add_argument
    add(
        "--program",
        metavar="COMMAND",
        help="the workers are copies of this program; {file}, {worker}, {workers}, {rounds}, {seed} and {start}, a "
        "start signal to be read to its end, are filled in",
    )
    add(
        "--check",
        metavar="FILE.py|COMMAND",
        help="judges what the programs left. FILE.py: a Python file with check(path, outcome), and prepare(path) for "
        "the first content. Else a command, with {file} (its last argument where it names none), {workers}, {rounds}, "
        "and {finished} and {begun}, the rounds of all copies that count for certain and that may count after a kill: "
        "it exits with 0 where the file is right, with 1 where it is corrupted, and prints what is broken",
    )
    add(
        "--prepare",
        metavar="COMMAND",
        help="writes the first content of {file}, for a --check that is a command; without it the file starts empty",
    )
    add(
        "--recover",
        metavar="COMMAND",
        help="with --crash kill: what makes {file} usable again after a copy was killed, run before the check when all "
        "others have ended, with the placeholders of --program; without it one more copy is started instead",
    )
    add(
        "--program-workers",
        type=between(1, MOST_WORKERS),
        metavar="N",
        help="so many copies of --program beside the --workers of the scenarios named",
    )
    add(
        "--watch",
        action="store_true",
        help="record every call of the copies of --program on files, as lab watch does: the report has all holds "
        "instead of samples, and says what is wrong with the locking, at which line",
    )
    add(
        "--suppress",
        action="append",
        default=[],
        metavar="FILE",
        help="with --watch: accesses that are not judged, as for lab watch (sqlite); repeatable",
    )
    add(
        "--ignore",
        action=Listed,
        type=names,
        default=[],
        metavar="CAUSE[,CAUSE...]",
        help="with --watch: do not report this cause",
    )


def check_program(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that make no sense together."""
    _check_watch(arguments)
    _check_crash(arguments)
    if arguments.program is None:
        for name in ("check", "prepare", "recover", "program_workers"):
            if getattr(arguments, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option}: belongs to --program; add --program COMMAND, or leave it out")
        return
    for name in ("program", "prepare", "recover"):
        if getattr(arguments, name) is not None and not getattr(arguments, name).strip():
            raise UsageError(f"--{name}: an empty command; give a program and its arguments")
    _refuse(arguments, UNSEEN, "record", "html", "explain")
    if arguments.scenarios:
        _check_beside(arguments)
    else:
        _check_alone(arguments)


def _check_crash(arguments: argparse.Namespace) -> None:
    """Raise UsageError where a copy is to crash beside workers of the lab, or nothing crashes that could recover."""
    if arguments.crash and arguments.program is not None and arguments.scenarios:
        raise UsageError("--crash: is for a program alone, or a scenario alone; leave out one of them, or --crash")
    if arguments.recover is not None and arguments.program is not None and not arguments.crash:
        raise UsageError("--recover: nothing crashes that it could recover from; add --crash kill, or leave it out")


def _check_watch(arguments: argparse.Namespace) -> None:
    """Raise UsageError where nothing could be watched, or where what is watched could not be judged."""
    for name in ("suppress", "ignore"):
        if getattr(arguments, name) and not arguments.watch:
            raise UsageError(f"--{name}: belongs to --watch; add it, or leave it out")
    if not arguments.watch:
        return
    if arguments.program is None:
        from lab.output import shell_line

        command = shell_line(arguments.scenarios) or "./prog"
        raise UsageError(f"--watch: belongs to --program; to watch a command by itself: lab watch -- {command}")
    if arguments.scenarios:
        raise UsageError("--watch: is for a program alone; leave it out, or the SCENARIO and --program-workers")
    if arguments.isolate:
        raise UsageError("--watch: tells processes by their numbers, which --isolate makes alike; leave one out")
    if len(arguments.dir or ()) > 1:
        raise UsageError("--watch: tells files by their inodes, which several --dir do not share; give one")


def _check_alone(arguments: argparse.Namespace) -> None:
    _refuse(arguments, ITS_OWN, "lock", "backing", "window", "leak", "counterexamples")
    if not arguments.watch:
        _refuse(arguments, UNRECORDED, "detects")
    if arguments.program_workers:
        raise UsageError(
            "--program-workers: beside which scenario? name a SCENARIO, or give the number of copies as --workers"
        )
    if arguments.check is None:
        raise UsageError("--program: nobody could say whether the file is right; add --check, or name a SCENARIO")


def _check_beside(arguments: argparse.Namespace) -> None:
    if arguments.check is not None:
        raise UsageError("--check: the scenario has its own check; leave one of the two out")
    if arguments.prepare is not None:
        raise UsageError("--prepare: the scenario prepares its own file; leave one of the two out")
    if not arguments.program_workers:
        raise UsageError("--program: how many copies beside the scenario's workers? add --program-workers N")


def _refuse(arguments: argparse.Namespace, why: str, *names: str) -> None:
    for name in names:
        if getattr(arguments, name):
            raise UsageError(f"--{name}: {why}")


def scenarios_of(arguments: argparse.Namespace) -> list[Found]:
    """Return the scenarios to race; none where a program races alone."""
    from lab.scenario import find_scenarios

    if arguments.program is not None and not arguments.scenarios:
        return []
    return find_scenarios(arguments.scenarios, counterexamples=arguments.counterexamples)


def cases_asked_for(scenarios: Sequence[Found], options: Options) -> list[Case]:
    """Return the cases to race, as rows of the table. Raise UsageError for one that cannot be raced."""
    from lab import racing

    if not options.program:
        return racing.cases_of(scenarios, options)
    from lab.racing.programs.cases import cases_beside_program, cases_of_program

    return cases_beside_program(scenarios, options) if scenarios else cases_of_program(options)
