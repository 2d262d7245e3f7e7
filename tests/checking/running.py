"""Checks without the process that supervises them, and what their documents and folders have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from lab.checking import run
from lab.checking.actors.pool import ActorPool
from lab.checking.request import request_for
from lab.checking.stress.plan import planned
from lab.host.environment import RunStart, mounts_of
from lab.processes import Terminated, stop_on_sigterm
from lab.records import Check, CheckOptions, RandomPrograms
from tests.report.checked_records import programs

SECONDS = 0.5


WORKERS = 2


LEFT_WAITING = "A: open f; B: open f; A: F_SETLK f write 0 1; B: F_SETLKW f write 0 1 = waits; B: returns"


Told = dict[str, Any]


def checked(directory: str, only: Sequence[str], stop_at: str = "", seconds: float = SECONDS) -> Told:
    """The document, what was told, and what is left; interrupted where the title begins so."""
    folder, told = Path(directory), list[str]()

    def tell(title: str) -> None:
        if stop_at and title.startswith(stop_at):
            raise KeyboardInterrupt
        told.append(title)

    done = check_in(folder, CheckOptions([directory], list(only), seconds, 0, WORKERS), tell)
    return {**asdict(done), "told": told, **left_in(folder)}


def check_in(folder: Path, options: CheckOptions, tell: run.Announcer) -> Check:
    """All parts, and their document, without the process that supervises them."""
    request, found, begun, ending = request_for(options.only), run.Found(), RunStart(), run.Ending()
    try:
        with stop_on_sigterm():
            run.run_parts(request, options, [folder], found.keep, tell)
    except (KeyboardInterrupt, Terminated):
        ending = run.Ending(interrupted=True)
    except run.Silent as silence:
        ending = run.Ending(early="it does not answer", hang=silence.hang)
    return run.document(options, request, found, mounts_of([folder]), begun, ending)


def left_in(folder: Path) -> Told:
    return {"left": [path.name for path in folder.iterdir()], "children": len(psutil.Process().children())}


def numbers(document: Told) -> list[int]:
    return [each["number"] for each in document["rules"]]


def verdicts(document: Told) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in document["guarantees"]}


def raced_for(*guarantees: str) -> set[int]:
    """The rules that the races for these guarantees show."""
    return {number for entry in planned(guarantees) for number in entry.rules}


def results(module: str, name: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """What this function of the module returns for each of the rows, in one process."""
    return [getattr(import_module(module), name)(*row) for row in rows]


def watch_random_programs(heard: Callable[[list[str], float], None]) -> None:
    """Have the families and the seconds of the random programs heard, and none performed."""
    import lab.checking.fuzz.run as search

    class Searching:
        def __init__(self, _: ActorPool, families: list[str], seconds: float, *__: object) -> None:
            heard(families, seconds)

        def perform(self) -> None:
            """Take no time."""

        def result(self) -> RandomPrograms:
            return programs(number=0)

    vars(search).update(Search=Searching)
