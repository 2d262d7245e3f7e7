"""Know a traced process from outside: its memory, its code, and the files that its descriptors and paths refer to."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from struct import unpack_from
from typing import NamedTuple

from lab.errors import checked

from .log import Code, LogWriter, code_of
from .pages import Pages

REGULAR, CHANNEL = 1, 2
"""The types of files that are recorded: a channel is a pipe, whose data orders processes."""

AT_FDCWD, AT_SYMLINK_NOFOLLOW, ALL_AND_BIRTH = -100, 0x100, 0xFFF
ELSEWHERE = ("/usr/", "/lib", "/bin/", "/sbin/", "/etc/", "/proc/", "/sys/", "/dev/", "/opt/", "/snap/")
NOT_SHARED = ("/__pycache__/", "/site-packages/", "/hsperfdata_")
"""Where no files of a program's own are, as in _files.c; in the last a JVM tells its own figures."""

_statx = ctypes.CDLL(None, use_errno=True).statx


class Known(NamedTuple):
    """A file, whatever its names: its device and inode, and when it was made, since inodes are used again."""

    device: int
    inode: int
    born: int


class Files:
    """The files of all processes, by number."""

    def __init__(self, folder: Path, globs: Collection[str], outputs: str) -> None:
        """Number the files that the globs choose, but those of `outputs`: "major:minor:inode," of each."""
        self._logs, self._globs, self._outputs = f"{folder}/", globs, outputs
        self._numbers: dict[Known, int] = {}
        self._lines: dict[int, str] = {}
        self._room = ctypes.create_string_buffer(256)

    def is_chosen(self, path: str) -> bool:
        """Tell whether a file of this path is recorded."""
        if path.startswith(self._logs):
            return False
        if self._globs:
            name = path.rpartition("/")[2]
            return any(fnmatchcase(path, glob) or ("/" not in glob and fnmatchcase(name, glob)) for glob in self._globs)
        if path.startswith("/dev/shm/"):  # noqa: S108 - shared memory
            return True
        if path.startswith("/memfd:"):  # it has no name: a heap, more often than what processes share
            return False
        mine = not path.startswith(ELSEWHERE)
        return mine and not path.endswith(".pyc") and not any(part in path for part in NOT_SHARED)

    def at(self, access: str, path: str, *, follow: bool = True) -> tuple[int, int] | None:
        """Return the number and the type of a file that can be reached at `access`, None where it is not recorded.

        `path` is its name for the program.
        """
        if not self._globs and path.startswith(ELSEWHERE) and not self.is_chosen(path):
            return None
        flags = 0 if follow else AT_SYMLINK_NOFOLLOW
        try:
            checked(_statx(AT_FDCWD, os.fsencode(access), flags, ALL_AND_BIRTH, self._room), "statx(2)")
        except OSError:
            return None
        mode, inode = unpack_from("=H2xQ", self._room, 28)
        seconds, nanoseconds = unpack_from("=qI", self._room, 80)
        major, minor = unpack_from("=II", self._room, 136)
        kind = REGULAR if stat.S_ISREG(mode) else CHANNEL if stat.S_ISFIFO(mode) else 0
        if not kind or f"{major}:{minor}:{inode}," in self._outputs or (kind == REGULAR and not self.is_chosen(path)):
            return None
        device = major << 32 | minor
        known = Known(device, inode, seconds * 1_000_000_000 + nanoseconds)
        number = self._numbers.get(known)
        if number is None:
            number = self._numbers[known] = len(self._numbers) + 1
            self._lines[number] = f"file {number} {device} {inode} {known.born} {kind} {path}"
        return number, kind

    def describe(self, number: int, its: Process) -> None:
        """Write beside the log of a process, once, which file has this number."""
        if number and number not in its.described and its.log:
            its.described.add(number)
            its.log.text(self._lines[number])


class Opened(NamedTuple):
    """What a descriptor refers to: the number of its file, its type, and whether writes go to its end."""

    file: int
    type: int
    appends: bool


class Process:
    """What is known of a process: its descriptors, its mappings of files, and where its code is."""

    def __init__(self, pid: int, parent: int) -> None:
        self.pid, self.parent = pid, parent
        self.log: LogWriter | None = None
        self.fds: dict[int, Opened | None] = {}
        self.maps: list[tuple[int, int, int, int]] = []
        """Mappings: address, size, file, place in the file."""
        self.code: list[Code] = []
        self.code_is_known = self.has_ended = self.has_mapped = self.is_unprotected = False
        self.stacks: dict[tuple[int, ...], int] = {}
        self.walked: dict[tuple[int, ...], list[tuple[list[tuple[int, int]], int]]] = {}
        """Stacks by instruction and registers: the words of memory that they were found by, and their number."""
        self.described: set[int] = set()
        self.executes = 0
        self.pages: Pages | None = None
        self._memory = -1

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of its memory, fewer where they cannot be read."""
        try:
            if self._memory < 0:
                self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._memory, size, address)
        except (OSError, OverflowError):
            return b""

    def word(self, address: int) -> int:
        """Return 8 bytes of its memory as a number with a sign, 0 where they cannot be read."""
        content = self.read(address, 8)
        return int.from_bytes(content, "little", signed=True) if len(content) == 8 else 0

    def words_are(self, words: list[tuple[int, int]]) -> bool:
        """Tell whether these words of its memory, each with its address, are as they were."""
        if not words:
            return True
        low, high = words[0][0], words[-1][0] + 8
        content = self.read(low, high - low)
        return len(content) == high - low and all(
            unpack_from("=Q", content, address - low)[0] == value for address, value in words
        )

    def text(self, address: int) -> str:
        """Return the text at an address, up to its zero byte."""
        to_page_end = 4096 - address % 4096
        content = self.read(address, to_page_end)
        if b"\0" not in content:
            content += self.read(address + to_page_end, 4096)
        return os.fsdecode(content.partition(b"\0")[0])

    def about(self, fd: int) -> dict[str, int]:
        """Return the position and the flags of a descriptor (proc(5), fdinfo)."""
        try:
            lines = Path(f"/proc/{self.pid}/fdinfo/{fd}").read_text().split("\n")
            return {"pos": int(lines[0].split()[1]), "flags": int(lines[1].split()[1], 8)}
        except (OSError, ValueError, IndexError):
            return {}

    def read_code(self) -> None:
        """Learn where code is loaded, and write it beside the log."""
        try:
            content = Path(f"/proc/{self.pid}/maps").read_text(errors="replace")
        except OSError:
            return
        self.code = [code for code in map(code_of, content.splitlines()) if code]
        self.code_is_known = True
        if self.log:
            self.log.text(f"maps\n{content}end")

    def close(self) -> None:
        """Write nothing more."""
        if self.log:
            self.log.close()
        if self.pages:
            self.pages.close()
        if self._memory >= 0:
            os.close(self._memory)
        self.log, self.pages, self._memory = None, None, -1

    def known(self, fd: int, files: Files) -> Opened | None:
        """Return what a descriptor refers to, None where that is not recorded."""
        if fd < 0:
            return None
        if fd not in self.fds:
            access, found = f"/proc/{self.pid}/fd/{fd}", None
            with suppress(OSError):
                found = files.at(access, str(Path(access).readlink()))
            self.fds[fd] = Opened(*found, bool(self.about(fd).get("flags", 0) & os.O_APPEND)) if found else None
        return self.fds[fd]

    def named(self, at: int, text: str, files: Files, *, follow: bool) -> tuple[int, str]:
        """Return the number of the file of a path, 0 where that is not recorded, and the path as a whole."""
        base = f"/proc/{self.pid}/" + ("root" if text.startswith("/") else "cwd" if at == AT_FDCWD else f"fd/{at}")
        path = text
        if not text.startswith("/"):
            with suppress(OSError):
                path = os.path.normpath(f"{Path(base).readlink()}/{text}")
        found = files.at(f"{base}/{text}", path, follow=follow)
        return (found[0] if found and found[1] == REGULAR else 0), path

    def descriptors(self) -> list[int]:
        """Return its open descriptors, in order."""
        try:
            return sorted(int(each.name) for each in Path(f"/proc/{self.pid}/fd").iterdir())
        except OSError:
            return []
