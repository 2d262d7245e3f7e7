"""How a test mounts and unmounts: one folder for each process, undone on every way out of a block.

Everything is mounted below that folder. A process that was killed leaves it, and the next one that mounts
anything clears it away.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from signal import SIGKILL
from tempfile import gettempdir, mkdtemp

from tests.needs import Missing

PREFIX = "lab-mounts-"

MNT_FORCE, MNT_DETACH = 1, 2
"""What umount2(2) does beside: abort the connection of a FUSE mount; leave it to those who use it."""

_libc = ctypes.CDLL(None)

FOREIGN = ("permission denied", "operation not permitted", "unknown filesystem type", "failed to setup loop device")
"""What mount(8) says where the machine, not the test, is at fault."""


# What is mounted, and how it is undone


def mounts_below(folder: Path) -> list[Path]:
    """The mount points below a folder, the latest first (proc_pid_mountinfo(5))."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]  # a space is \\040
    return [Path(point) for point in reversed(points) if point.startswith(f"{folder}/")]


def is_mounted(point: Path) -> bool:
    """True while something is mounted there; asks no server, which might not answer."""
    return point in mounts_below(point.parent)


def abort(point: Path) -> None:
    """Cut the server of a FUSE mount off: whoever waits for it gets an error, even from an uninterruptible sleep."""
    _umount(point, MNT_FORCE)


def unmount(point: Path) -> bool:
    """Unmount, even while it is in use; False where that was so.

    A FUSE server is not asked, so one that hangs does no harm, and what the kernel has not written to it is lost.
    """
    if not (idle := _umount(point, MNT_FORCE)):
        _umount(point, MNT_FORCE | MNT_DETACH)
    return idle


def _umount(point: Path, flags: int) -> bool:
    return not _libc.umount2(os.fsencode(point), flags)


def processes_below(folder: Path) -> list[int]:
    """The processes that have the folder, or a path below it, as an argument."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            arguments = (process / "cmdline").read_text(errors="replace").split("\0")
            if any(f"{argument}/".startswith(f"{folder}/") for argument in arguments):
                found.append(int(process.name))
    return found


def _clear(folder: Path) -> None:
    """Unmount all below a folder and remove it."""
    for point in mounts_below(folder):
        unmount(point)
    shutil.rmtree(folder, ignore_errors=True)


# A folder of this process, and those of dead ones


def _start_of(pid: int) -> str | None:
    """When the process began, in ticks since boot, which with its id no other process shares; None if it is dead."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else fields[18]


def folder_of(pid: int) -> Path:
    """The folder of all mounts of a living process."""
    return Path(gettempdir()).resolve() / f"{PREFIX}{pid}-{_start_of(pid)}"


def clear_leftovers() -> None:
    """Undo what processes have left that were killed."""
    for folder in Path(gettempdir()).resolve().glob(f"{PREFIX}*-*"):
        pid, _, start = folder.name.removeprefix(PREFIX).partition("-")
        if pid.isdecimal() and _start_of(int(pid)) != start:
            _clear(folder)
            for server in processes_below(folder):
                with suppress(ProcessLookupError):
                    os.kill(server, SIGKILL)


@cache
def _clear_leftovers_once() -> None:
    clear_leftovers()


@contextmanager
def room(*names: str) -> Iterator[list[Path]]:
    """Empty directories of these names in a new folder; what gets mounted on them is undone with the block."""
    _clear_leftovers_once()
    home = folder_of(os.getpid())
    home.mkdir(exist_ok=True)
    folder = Path(mkdtemp(dir=home))
    try:
        paths = [folder / name for name in names]
        for path in paths:
            path.mkdir()
        yield paths
    finally:
        _clear(folder)
        with suppress(OSError):  # still used by another block
            home.rmdir()


# What does the mounting


def mount(*args: str | Path) -> None:
    """mount(8); raises Missing where the kernel does not know or does not allow it."""
    command = ["mount", *args]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    if ended.returncode and any(reason in ended.stderr.lower() for reason in FOREIGN):
        raise Missing(ended.stderr.strip())
    assert not ended.returncode, ended.stderr
