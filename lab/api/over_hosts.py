"""Check what a function of `lab` is given to go over several hosts, and say what is sent of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lab.errors import UsageError

from .values import checked


def reached(hosts: Sequence[str] | None, python: str, ssh_config: str, rsh: str, timeout: float) -> dict[str, Any]:
    """Return what is sent of the hosts; nothing where there are none. Raises UsageError for ways to no hosts."""
    if hosts is None:
        if python or ssh_config or rsh:
            raise UsageError("python=, ssh_config= and rsh= belong to hosts=; add it, or leave them out")
        return {}
    texts = [name for each in hosts for name in str(each).split(",")]
    ways = {"python": python, "ssh_config": os.fspath(ssh_config), "rsh": rsh}
    return {"reach": {"texts": texts, **ways}, **checked("race", timeout=timeout)}


def check_race(*, lock: Sequence[Any] | None, seconds: float | None, isolate: str, record: int, faults: str) -> None:
    """Raise UsageError for arguments of a race that work on one host alone."""
    if seconds is not None:
        raise UsageError("seconds=: works on one host; give trials= or rounds= over several")
    if isolate or record or faults != "none":
        raise UsageError("faults=, isolate= and record= work on one host; leave them out, or hosts=")
    if not all(isinstance(each, str) for each in lock or ()):
        raise UsageError("lock=: over several hosts give its name, or module:attribute")


def shared(given: Sequence[str | os.PathLike[str]] | None) -> list[str]:
    """Return the directory that several hosts share, by its name there. Raises UsageError where it is not one."""
    folders = [os.fspath(each) for each in given or ()]
    if len(folders) != 1 or not folders[0].startswith("/"):
        raise UsageError("hosts=: which directory do they share? Give one absolute path, the same on all hosts")
    return folders
