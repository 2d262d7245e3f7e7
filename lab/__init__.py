"""The lab finds out whether a lock really protects a shared file.

Its floors, leaves first; imports go downward only, and a test holds them to it:

    errors      what can go wrong, each with its exit code
    model       pure: locks and who may hold them, recorded holds, intervals of confidence; no operating system
    results     the record types of each command's document, their schema, save and load
    environment what is recorded of the machine
    processes   fork, start barrier, reap, time limits; the only place that forks or signals
    locks       how workers exclude each other; the only place that calls fcntl and flock
    backings     how bytes are shared; the only place that maps files
    scenario    Scenario, Worker, Damage; finding scenarios by name or path
    race        the matrix, the trial, the recorder of holds, what is measured
    explore     every interleaving over simulated bytes, the shortest that breaks, its replay on the real kernel
    check       is locking safe on a mount: rules, random programs, the stress, the verdict and its advice
    bench       what things cost, as ratios against a baseline of the same run
    choice      the locks compared: what each does, and the run that shows it
    tutorial     what the tutorial on mapped files claims, made to happen: the tour, the backings compared, the stories
    report      tables, progress and the page: pure functions of a results record
    cli         one module a command: parse, call one verb, print
    pytest_plugin  the fixture `lab`: races and explorations as tests, each in a fresh interpreter

A scenario imports the names below and nothing else of the lab.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locks.protocol import Deadlock
    from .scenario import EVERY_LOCK, Damage, Outcome, Scenario, Worker

__all__ = ["EVERY_LOCK", "Damage", "Deadlock", "Outcome", "Scenario", "Worker"]


def __getattr__(name: str) -> object:
    """Import a name when it is asked for: `python -m lab` must hear a stop before it imports anything."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(".locks.protocol" if name == "Deadlock" else ".scenario", __name__), name)
