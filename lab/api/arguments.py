"""Read what a caller hands to the functions of `lab`: scenarios, locks, directories, and the hosts to go over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.errors import UsageError
from lab.exploring.locks import check_modelled
from lab.scenario import Scenario

from .protocol import Parcel, packed
from .values import checked

AnyScenario = Scenario | type[Scenario] | str | os.PathLike[str]
"""A scenario: an object, a class, a built-in's name, or the path of a scenario file."""

Scenarios = AnyScenario | Sequence[AnyScenario] | None
"""One scenario, several of them, or None for all that are built in and break unlocked."""

Directory = str | os.PathLike[str]


def listed(value: Any) -> list[Any] | None:
    """Return the values of an argument that may be one or several; a text is one."""
    if value is None:
        return None
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | os.PathLike | type | Scenario)
    return list(value) if several and not hasattr(value, "actions") else [value]


def scenario_parcels(scenario: Scenarios, home: ModuleType | None) -> list[Parcel]:
    """Return the scenarios as a fresh interpreter can have them. Raises UsageError for what is none."""
    found = listed(scenario) or []
    for each in found:
        kind = each if isinstance(each, type) else type(each)
        if not issubclass(kind, Scenario | str | os.PathLike):
            raise UsageError(f"scenario {each!r}: give a lab.Scenario, a built-in name, or the path of a file")
    return [packed(each, "scenario", home) for each in found]


def lock_parcels(lock: Any, home: ModuleType | None) -> list[Parcel]:
    """Return the locks as a fresh interpreter can have them. Raises UsageError for None."""
    if lock is None:
        raise UsageError('lock=None: give a name, as in lock="fcntl"; lock="none" races without a lock')
    return [packed(each, "lock", home) for each in listed(lock) or []]


def label(thing: Any) -> str:
    """Return words for a scenario or a lock, to know it again in the next run."""
    if isinstance(thing, str | os.PathLike):
        return os.fspath(thing)
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    name = "" if kind is thing else getattr(thing, "name", "")
    return f"{kind.__module__}:{kind.__qualname__}{f'({name})' if name else ''}"


def modelled(lock: Any) -> str:
    """Return the name of the lock. Raises CannotRunError for an object or a class without a model."""
    if isinstance(lock, str):
        return lock
    name = str(getattr(lock, "name", getattr(lock, "__name__", lock)))
    check_modelled(name)
    return name


def existing(given: Directory) -> Path:
    """Return the directory. Raises UsageError where there is none."""
    if not Path(given).is_dir():
        raise UsageError(f"dir={os.fspath(given)!r} is no directory; give one on the filesystem in question")
    return Path(given).absolute()


def caller() -> ModuleType | None:
    """Return the module whose code called the lab."""
    frame = sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "lab":
        frame = frame.f_back
    return sys.modules.get(str(frame.f_globals.get("__name__")))


def reached(hosts: Sequence[str] | None, python: str, ssh_config: str, rsh: str, timeout: float) -> dict[str, Any]:
    """Return what is sent of the hosts; nothing where there are none. Raises UsageError for ways to no hosts."""
    if hosts is None:
        if python or ssh_config or rsh:
            raise UsageError("python=, ssh_config= and rsh= belong to hosts=; add it, or leave them out")
        return {}
    texts = [name for each in hosts for name in str(each).split(",")]
    ways = {"python": python, "ssh_config": os.fspath(ssh_config), "rsh": rsh}
    return {"reach": {"texts": texts, **ways}, **checked("race", timeout=timeout)}


def check_race_over_hosts(
    *, lock: Sequence[Any] | None, seconds: float | None, isolate: str, record: int, faults: str
) -> None:
    """Raise UsageError for arguments of a race that work on one host alone."""
    if seconds is not None:
        raise UsageError("seconds=: works on one host; give trials= or rounds= over several")
    if isolate or record or faults != "none":
        raise UsageError("faults=, isolate= and record= work on one host; leave them out, or hosts=")
    if not all(isinstance(each, str) for each in lock or ()):
        raise UsageError("lock=: over several hosts give its name, or module:attribute")


def shared_directory(given: Sequence[str | os.PathLike[str]] | None) -> list[str]:
    """Return the directory that several hosts share, by its name there. Raises UsageError where it is not one."""
    folders = [os.fspath(each) for each in given or ()]
    if len(folders) != 1 or not folders[0].startswith("/"):
        raise UsageError("hosts=: which directory do they share? Give one absolute path, the same on all hosts")
    return folders
