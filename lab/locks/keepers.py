"""Which processes have a lock: every one that shares the open file through which it was taken, its own or inherited.

/proc/locks names the process that asked, which may have ended long ago. /proc/PID/fdinfo (proc_pid_fdinfo(5)) lists the
locks of an open file under every descriptor that refers to it, so also in a helper that inherited one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

LEGIBLE = 60
"""Characters of a command line."""


def keepers_of(inodes: Collection[int], concerns: Callable[[int], bool]) -> list[str]:
    """Each process, of those that concern, which has a lock on a file with one of these numbers: its id and command."""
    marks = tuple(f":{inode} " for inode in inodes)
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - numbers and words, no paths
        if name.isdecimal() and concerns(int(name)) and any(_names(line, marks) for line in _lines(name)):
            found.append(f"process {name} ({_command(name)})")
    return found


def _names(line: str, marks: tuple[str, ...]) -> bool:
    return line.startswith("lock:") and "->" not in line and any(mark in line for mark in marks)


def _lines(pid: str) -> Iterator[str]:
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fdinfo"):
            with suppress(OSError):
                yield from Path(entry.path).read_text().splitlines()


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "ended"
    text = "".join(each if each.isprintable() else "?" for each in " ".join(words).strip())
    return text if len(text) <= LEGIBLE else f"{text[:LEGIBLE]}..."
