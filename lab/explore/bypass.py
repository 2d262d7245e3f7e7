"""What a scenario does behind the explorer's back: files, mappings, locks and processes of its own, and shared notes.

A proof over `w.memory` says nothing about bytes that a worker reaches in another way. So while the scenario's text
runs, the interpreter's audit events (PEP 578) that tell of such ways end the exploration, and so do notes that its
workers leave on the scenario object or in its module: in the real world each process has its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab.errors import CannotRunError
from lab.scenario import Scenario

EVENTS = {
    "mmap.__new__": "maps memory itself",
    "fcntl.fcntl": "locks by itself",
    "fcntl.lockf": "locks by itself",
    "fcntl.flock": "locks by itself",
    "os.fork": "forks",
    "subprocess.Popen": "starts a program",
    "_thread.start_new_thread": "starts a thread",
    "socket.__new__": "opens a socket",
}
MODULES = (".py", ".pyc", ".so")
"""Endings of files that an import opens."""

_watching = [False]
_hooked: list[bool] = []
_bypassed: list[Bypass] = []


class Bypass(CannotRunError):  # noqa: N818 - a finding about the scenario
    """The scenario reached around `w.memory`."""


def bypass(what: str) -> Bypass:
    """The error to raise; it is remembered, in case that the scenario catches it."""
    _bypassed.append(
        Bypass(
            f"the scenario {what}: that bypasses w.memory, so the explorer cannot see it and would prove nothing; race "
            "it instead (python -m lab race)"
        )
    )
    return _bypassed[-1]


def _hook(event: str, details: tuple[Any, ...]) -> None:
    if not _watching[0]:
        return
    if event in EVENTS:
        raise bypass(EVENTS[event])
    if event == "open" and not str(details[0]).endswith(MODULES):
        raise bypass(f"opens {details[0]}")


@contextmanager
def watched() -> Iterator[None]:
    """Within the block such an event raises Bypass where it happens."""
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    _watching[0] = True
    _bypassed.clear()
    try:
        yield
    finally:
        _watching[0] = False
    if _bypassed:
        raise _bypassed[0]


def notes(scenario: Scenario) -> dict[str, str]:
    """What the scenario object and its module hold that workers could share, as text to compare."""
    kind = type(scenario)
    shared = {f"self.{name}": value for name, value in vars(scenario).items() if name != "Memory"}
    for prefix, holder in ((f"{kind.__name__}.", kind), ("", sys.modules.get(kind.__module__))):
        shared |= {f"{prefix}{name}": value for name, value in vars(holder).items() if _is_note(name, value)}
    return {name: repr(value) for name, value in shared.items()}


def _is_note(name: str, value: object) -> bool:
    return isinstance(value, list | dict | set | bytearray | int | float | str) and not name.startswith("__")


def check_notes(before: dict[str, str], scenario: Scenario) -> None:
    """Raises Bypass where the notes are others than before."""
    after = notes(scenario)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    if changed:
        raise bypass(f"keeps {', '.join(changed)} beside it, which no two processes share")
