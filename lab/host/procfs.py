"""The locks that others hold on a file, seen from outside: listed by the kernel, or asked for.

`/proc/locks` (proc_locks(5)) lists all that the kernel itself keeps, those that wait too. Where a filesystem keeps its
locks elsewhere, or the list is not available, F_GETLK (fcntl(2)) names one lock that would be in the way: it tells
nothing of flock(2) nor of who waits, and it may hang, so it is asked in a process of its own.

The mounts behind directories, from the kernel's own list of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

from lab.analysis.holds import END, Span
from lab.locks.calls import call_range, conflict
from lab.locks.kernel import Fcntl
from lab.memory import scratch
from lab.processes.rpc import Gone, Partner
from lab.records import Mount

from .environment import anonymous_text

LIST = "/proc/locks"
KINDS = ("POSIX", "OFDLCK", "FLOCK")
ANSWER_S = 0.05
"""How long an F_GETLK is waited for before one goes on without it."""


class Seen(NamedTuple):
    """One lock: who holds it or waits for it (-1 where that is no process), on which bytes, and of which file.

    `file` is empty for the file itself, else the name of one beside it.
    """

    kind: str
    pid: int
    span: Span
    waits: bool
    file: str = ""


class Sight(Protocol):
    """A way to see the locks on one file."""

    source: str

    def look(self) -> set[Seen]:
        """All that is seen now."""

    def inodes(self, file: str) -> list[int]:
        """The numbers of the files that were seen under this name; none where the way does not show others."""

    def close(self) -> None:
        """No more looks."""


def sight_of(path: Path) -> Sight:
    """The best way to see the locks on this file: the kernel's list, where it lists locks of that directory.

    The list also shows those on the files beside it, which the other way does not.
    """
    device = _listed_device(path.parent)
    return Listed(device, path) if device else Asked(path)


def _listed_device(folder: Path) -> str:
    """How the list names the filesystem there; empty where it does not list a lock taken there for a moment."""
    try:
        with scratch(folder) as path, path.open("r+b") as file:
            acquire, release = Fcntl().actions(file.fileno(), 0, 0, write=True)
            acquire()
            inode, ours = str(os.fstat(file.fileno()).st_ino), str(os.getpid())
            found = [line.split() for line in _lines() if ours in line.split() and f":{inode} " in line]
            release()
    except OSError:
        return ""
    return found[0][5].rpartition(":")[0] if found else ""


def _lines() -> list[str]:
    with open(LIST) as lines:  # noqa: PTH123 - pathlib is slower, and this is done a thousand times
        return lines.readlines()


class Listed:
    """The kernel's list. Reading it stops all lock calls for a moment, so it should not be read all the time."""

    source = LIST

    def __init__(self, device: str, path: Path) -> None:
        self._mark = f" {device}:"
        self._path = path
        self._names: dict[int, str] = {}
        self._locked = {path.stat().st_ino: ""}

    def look(self) -> set[Seen]:
        """A lock that changes hands while a long list is read may be there twice: the set has it once.

        A file is called what it is called after the list was read: a new one may be renamed over the file itself and
        locked at once. One that has gone keeps its name for as long as its lock is seen: then its number may be given
        to any other file.
        """
        ours = {inode: name for inode, name in self._listing().items() if not name}
        lines = [line for line in _lines() if self._mark in line]
        self._names = ours | self._locked | self._listing()
        found = [(inode, line) for line in lines if (inode := _inode(line)) in self._names]
        self._locked = {inode: self._names[inode] for inode, _ in found}
        return {seen._replace(file=self._names[inode]) for inode, line in found for seen in _read(line.split()[1:])}

    def inodes(self, file: str) -> list[int]:
        """See `Sight`."""
        return [inode for inode, name in self._names.items() if name == file]

    def close(self) -> None:
        """There is nothing to close."""

    def _listing(self) -> dict[int, str]:
        """The files in the folder by their numbers; the file itself has no name."""
        with os.scandir(self._path.parent) as entries:
            return {entry.inode(): "" if entry.name == self._path.name else entry.name for entry in entries}


def _inode(line: str) -> int:
    return int(line.split()[-3].rpartition(":")[2])


def _read(words: list[str]) -> list[Seen]:
    """One line of the list without its number; what is no lock of fcntl(2) or flock(2), such as a lease, is nothing."""
    waits = words[0] == "->"
    kind, _, access, pid, _, start, last = words[1:] if waits else words
    if kind not in KINDS:
        return []
    end = END if last == "EOF" else int(last) + 1
    length = 0 if end == END else end - int(start)
    return [Seen(kind, int(pid), Span(int(start), length, access == "WRITE"), waits)]


class Asked:
    """F_GETLK in a child, which is forked at once."""

    source = "F_GETLK"

    def __init__(self, path: Path) -> None:
        """Raises CannotRunError where there is no process available."""
        self._path = path
        self._descriptor = -1
        self._partner = Partner(self._respond)
        self._asked = False

    def __enter__(self) -> Asked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def look(self) -> set[Seen]:
        """The lock that is in the way of one on the whole file; nothing where there is none or no answer in time."""
        if not self._asked:
            self._partner.send(b"?")
        try:
            answer = self._partner.answer(ANSWER_S)
        except Gone:
            return set()
        self._asked = answer is None
        words = (answer or b"").split()
        if len(words) < 4:
            return set()
        kind, start, length, pid = map(int, words)
        return {Seen("POSIX" if pid > 0 else "OFDLCK", pid, Span(start, length, bool(kind)), waits=False)}

    def inodes(self, file: str) -> list[int]:
        """See `Sight`: only the file itself is asked about, and who shares its open file is not known."""
        return []

    def close(self) -> None:
        """End the child."""
        self._partner.end()

    def _respond(self, question: bytes) -> bytes:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR)
        try:
            found = conflict(call_range(self._descriptor, "F_GETLK", 1, 0, 0, os.SEEK_SET, 0))
        except (OSError, ValueError):
            found = None
        return b"%d %d %d %d" % found if found else b"-"


LOCAL = frozenset({
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "squashfs", "tmpfs", "vfat",
    "xfs", "zfs",
})  # fmt: skip
"""Types of filesystems that the kernel serves by itself; an overlay's own locks are the kernel's too."""


def mounts_of(directories: Sequence[Path]) -> list[Mount]:
    """Type and options of the filesystem behind each directory (proc_pid_mountinfo(5)); unknown where it is unlisted.

    psutil, which would tell too, starts what doubles the cost of every fork after it.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        lines = []
    listed = {line.split()[0]: line for line in lines}
    return [_mount(directory, listed.get(mount_id(directory), "")) for directory in directories]


def is_local(mounts: Sequence[Mount]) -> bool:
    """True where each is a filesystem of this kernel alone: no server, on this host or another, answers for it."""
    return all(mount.filesystem in LOCAL for mount in mounts)


def _mount(directory: Path, line: str) -> Mount:
    before, _, after = line.partition(" - ")
    own, kind = before.split(), after.split()
    words = [*own[5].split(","), *kind[2].split(",")] if len(own) > 5 and len(kind) > 2 else []
    options = re.sub(r"\b(user|username|uname)=[^,]*", r"\1=USER", ",".join(dict.fromkeys(words)))
    return Mount(anonymous_text(str(directory)), kind[0] if kind else "unknown", anonymous_text(options))


def mount_id(directory: Path) -> str:
    """The number of the mount through which this path leads: two bind mounts of one directory have two."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        told = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    finally:
        os.close(descriptor)
    return next((line.split()[1] for line in told.splitlines() if line.startswith("mnt_id:")), "")
