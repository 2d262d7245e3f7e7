"""The lab finds out whether a lock really protects a shared file.

Its packages, the lowest layer first; imports go downward only (docs/architecture.md draws them), and a test holds that:

    errors      what can go wrong, each with its exit code
    compiled    the parts that are built in C, where a compiler was
    commands    the commands, and which record each one writes
    gallery     the built-in scenarios, as the text of their files shows them
    analysis    pure: overlaps of holds, lost updates, torn data, statistics, how a watched program locks
    model       pure: the semantics of locks, and which requests they grant
    calls       recording the calls of a program as a history
    histories   pure: is a history of calls linearizable
    records     the record types of each command's document, their schema, save and load
    processes   fork, start barrier, reap, time limits; the only place that forks or signals
    memory      how bytes are shared; the only place that maps files
    locking     how workers exclude each other; the only place that calls fcntl and flock
    host        what /proc and the machine say of themselves
    scenario    Scenario, Worker, Damage; finding scenarios by name or path
    racing      the cases, the trial, the recorder of holds, what is measured
    exploring   every interleaving over simulated bytes, the shortest that breaks, its replay on the real kernel
    checking    is locking safe on a mount: rules, random programs, the stress, the verdict and its advice
    measuring   what locks cost, as ratios against a baseline of the same run
    survey      the locks, and the backings, compared by experiments
    watching    what a program calls, recorded by a library that is preloaded into it
    tutorial    what the tutorial on mapped files claims, made to happen
    report      tables, progress, plots and the page: pure functions of a record
    api         the functions of `lab`, each in a fresh interpreter; the verb of each command
    cli         one module a command: parse, call one verb, print
    pytest_plugin  the fixture `lab`: the same functions for tests

A scenario imports `Scenario`, `Operations`, `Worker`, `Damage`, `Outcome`, `Deadlock`, `EVERY_LOCK` and `paged`, and
nothing else of the lab.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .api.histories import assert_linearizable
    from .api.session import bench, check, explore, locks, race, replay
    from .calls import Calls, Impossible
    from .errors import CannotRunError, LabError, UsageError
    from .locking.adapters import adapt
    from .locking.protocol import Deadlock
    from .scenario import EVERY_LOCK, Damage, Operations, Outcome, Scenario, Worker, paged
    from .watching.annotations import ordered_by

    __version__: str

__all__ = [
    "EVERY_LOCK",
    "Calls",
    "CannotRunError",
    "Damage",
    "Deadlock",
    "Impossible",
    "LabError",
    "Operations",
    "Outcome",
    "Scenario",
    "UsageError",
    "Worker",
    "adapt",
    "assert_linearizable",
    "bench",
    "check",
    "explore",
    "locks",
    "ordered_by",
    "paged",
    "race",
    "replay",
]

_PLACES = {
    "Calls": ".calls",
    "Impossible": ".calls",
    "Deadlock": ".locking.protocol",
    "adapt": ".locking.adapters",
    "assert_linearizable": ".api.histories",
    "ordered_by": ".watching.annotations",
    **dict.fromkeys(("CannotRunError", "LabError", "UsageError"), ".errors"),
    **dict.fromkeys(("bench", "check", "explore", "locks", "race", "replay"), ".api.session"),
}
"""The modules of the names; all others are in `lab.scenario`."""


def __getattr__(name: str) -> object:
    """Import a name when it is asked for: the command must hear a stop before it imports anything."""
    if name == "__version__":
        from .host.environment import version

        return version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES.get(name, ".scenario"), __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
