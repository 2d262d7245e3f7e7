"""Call ptrace(2): follow the system calls of a process, and read what they are made to.

All calls concern a process that this thread has seized, and that is stopped then. The numbers of system calls depend on
the machine (syscalls(2)); a machine without a table is not supported.
"""

from __future__ import annotations

import ctypes
import os
import platform
from ctypes import Structure, c_long, c_uint8, c_uint32, c_uint64, c_void_p
from typing import NamedTuple

from lab.errors import checked

from .child import prctl

PTRACE_DETACH, PTRACE_SYSCALL = 17, 24
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_LISTEN, PTRACE_GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E
TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC = 1, 2, 4, 8, 16
FOLLOWED = TRACESYSGOOD | TRACEFORK | TRACEVFORK | TRACECLONE | TRACEEXEC
"""The options with which threads and children of the process are followed too."""

EVENT_EXEC, EVENT_STOP = 4, 128
ENTRY = 1
PR_SET_PTRACER = 0x5961_6D61
PATH_BYTES = 4096

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.restype = c_long
_ptrace.argtypes = (c_long, c_long, c_void_p, c_void_p)


class SyscallInfo(Structure):
    """The part of struct ptrace_syscall_info that describes an entry."""

    _fields_ = (
        ("op", c_uint8),
        ("pad", c_uint8 * 3),
        ("arch", c_uint32),
        ("instruction", c_uint64),
        ("stack", c_uint64),
        ("number", c_uint64),
        ("arguments", c_uint64 * 6),
    )


class Kind(NamedTuple):
    """A system call that can change or show a file: its name, and which arguments are a descriptor, and paths."""

    name: str
    descriptor: int | None
    paths: tuple[int, ...] = ()


BY_DESCRIPTOR = {
    "x86_64": "read 0 write 1 close 3 fstat 5 lseek 8 pread64 17 pwrite64 18 readv 19 writev 20 fcntl 72 flock 73 "
    "fsync 74 fdatasync 75 ftruncate 77 getdents64 217 fallocate 285 preadv 295 pwritev 296",
    "generic": "read 63 write 64 close 57 fstat 80 lseek 62 pread64 67 pwrite64 68 readv 65 writev 66 fcntl 25 "
    "flock 32 fsync 82 fdatasync 83 ftruncate 46 getdents64 61 fallocate 47 preadv 69 pwritev 70",
}
"""The calls whose first argument is the descriptor."""

BY_PATH = {
    "x86_64": "open 2:0 stat 4:0 lstat 6:0 access 21:0 truncate 76:0 rename 82:0,1 mkdir 83:0 rmdir 84:0 creat 85:0 "
    "link 86:0,1 unlink 87:0 symlink 88:1 readlink 89:0 openat 257:1 mkdirat 258:1 newfstatat 262:1 unlinkat 263:1 "
    "renameat 264:1,3 linkat 265:1,3 symlinkat 266:2 faccessat 269:1 renameat2 316:1,3 statx 332:1 openat2 437:1 "
    "faccessat2 439:1",
    "generic": "openat 56:1 mkdirat 34:1 newfstatat 79:1 unlinkat 35:1 renameat 38:1,3 linkat 37:1,3 symlinkat 36:2 "
    "faccessat 48:1 truncate 45:0 renameat2 276:1,3 statx 291:1 openat2 437:1 faccessat2 439:1",
}
"""The calls with the positions of their paths."""

STATS = ("newfstatat", "statx")
"""These take a descriptor and an empty path too."""

MMAP = {"x86_64": 9, "generic": 222}
MACHINES = {"x86_64": (0xC000_003E, "x86_64"), "aarch64": (0xC000_00B7, "generic"), "riscv64": (0xC000_00F3, "generic")}
"""The number of each machine in an entry (linux/audit.h), and its table; a program for another is not followed."""


def kinds_here() -> tuple[int, dict[int, Kind]]:
    """Return this machine's number and its system calls that matter, none where they are not known."""
    arch, table = MACHINES.get(platform.machine(), (0, ""))
    if not table:
        return 0, {}
    words = BY_DESCRIPTOR[table].split()
    kinds = {int(number): Kind(name, 0) for name, number in zip(words[::2], words[1::2], strict=True)}
    kinds[MMAP[table]] = Kind("mmap", 4)
    words = BY_PATH[table].split()
    for name, place in zip(words[::2], words[1::2], strict=True):
        number, _, paths = place.partition(":")
        kinds[int(number)] = Kind(name, 0 if name in STATS else None, tuple(map(int, paths.split(","))))
    return arch, kinds


def allow_tracer(pid: int) -> None:
    """Allow this process to trace the caller where only ancestors may (Yama; prctl(2), PR_SET_PTRACER)."""
    prctl(PR_SET_PTRACER, ctypes.c_ulong(pid), 0, 0, 0)


def seize(pid: int) -> None:
    """Begin to trace a process, and stop it: the stop is to be waited for. Raises OSError where that is refused."""
    _call(PTRACE_SEIZE, pid, 0, FOLLOWED)
    _call(PTRACE_INTERRUPT, pid)


def go_on(pid: int, signal: int = 0) -> None:
    """Let a stopped process run to the next entry or exit of a system call, with this signal. Raises OSError."""
    _call(PTRACE_SYSCALL, pid, 0, signal)


def let_go(pid: int, signal: int = 0) -> None:
    """Trace a stopped process no more; it runs on, with this signal. Raises OSError."""
    _call(PTRACE_DETACH, pid, 0, signal)


def stay_stopped(pid: int) -> None:
    """Leave a process stopped that a signal has stopped, as it would be untraced. Raises OSError."""
    _call(PTRACE_LISTEN, pid)


def is_entry(pid: int, info: SyscallInfo) -> bool:
    """Fill in the system call at whose entry the process is stopped; return False where it is at an exit."""
    _call(PTRACE_GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.addressof(info))
    return int(info.op) == ENTRY


def text_at(pid: int, address: int) -> str:
    """Return the text at an address of the process, up to its zero byte; empty where it cannot be read."""
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        to_page_end = PATH_BYTES - address % PATH_BYTES
        content = os.pread(memory, to_page_end, address)
        if b"\0" not in content:
            content += os.pread(memory, PATH_BYTES, address + to_page_end)
    except (OSError, OverflowError):
        return ""
    finally:
        os.close(memory)
    return os.fsdecode(content.partition(b"\0")[0])


def _call(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    checked(_ptrace(request, pid, address, data), "ptrace(2)")
