"""Call ptrace(2): follow the system calls of a process, and read what they are made to.

All calls concern a process that this thread has seized, and that is stopped then. The numbers of system calls depend on
the machine (syscalls(2)); a machine without a table is not supported. With a filter (seccomp(2)) a process stops only
at the calls that matter, and the others cost nothing.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from ctypes import Structure, c_long, c_uint8, c_uint32, c_uint64, c_void_p
from errno import EACCES
from signal import SIGTRAP
from typing import NamedTuple

from lab.errors import checked

from .child import WALL, prctl

PTRACE_CONT, PTRACE_DETACH, PTRACE_SYSCALL = 7, 17, 24
PTRACE_GETEVENTMSG, PTRACE_GETREGSET, PTRACE_SETREGSET = 0x4201, 0x4204, 0x4205
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_LISTEN, PTRACE_GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E
TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC = 1, 2, 4, 8, 16
FOLLOWED = TRACESYSGOOD | TRACEFORK | TRACEVFORK | TRACECLONE | TRACEEXEC
"""The options with which threads and children of the process are followed too."""

FILTERED = FOLLOWED | 1 << 7 | 1 << 20
"""The same, with a stop where a filter asks for it (TRACESECCOMP); they die with the tracer (EXITKILL)."""

EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_SECCOMP, EVENT_STOP = 1, 2, 3, 4, 7, 128
ENTRY = 1
NT_PRSTATUS = 1
PR_SET_PTRACER = 0x5961_6D61
PATH_BYTES = 4096

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.restype = c_long
_ptrace.argtypes = (c_long, c_long, c_void_p, c_void_p)
_prctl = ctypes.CDLL(None, use_errno=True).prctl


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
OTHERS = {
    "x86_64": "munmap 11 dup 32 dup2 33 sendfile 40 execve 59 wait4 61 exit_group 231 waitid 247 splice 275 dup3 292 "
    "execveat 322 userfaultfd 323 copy_file_range 326 preadv2 327 pwritev2 328 close_range 436 clone 56 fork 57 "
    "vfork 58 exit 60 clone3 435",
    "generic": "munmap 215 dup 23 sendfile 71 execve 221 wait4 260 exit_group 94 waitid 95 splice 76 dup3 24 "
    "execveat 281 userfaultfd 282 copy_file_range 285 preadv2 286 pwritev2 287 close_range 436 clone 220 exit 93 "
    "clone3 435",
}
"""Calls on several files, on processes, and those that make a descriptor of another."""

FRAMES = {"x86_64": ("27Q", 19, 4, None), "aarch64": ("34Q", 31, 29, 30)}
"""The registers of a machine (NT_PRSTATUS): their layout, and the places of the stack pointer, the frame pointer and
the return address of the innermost function; where it has none the return address is on the stack."""

MACHINES = {"x86_64": (0xC000_003E, "x86_64"), "aarch64": (0xC000_00B7, "generic"), "riscv64": (0xC000_00F3, "generic")}
"""The number of each machine in an entry (linux/audit.h), and its table; a program for another is not followed."""


class _Places(NamedTuple):
    """Where the registers of a system call are, and the size of the instruction that makes one."""

    call: int
    again: int
    argument: int
    instruction: int
    size: int


INJECTED = {"x86_64": _Places(call=10, again=15, argument=14, instruction=16, size=2)}
NO_CALL = (1 << 64) - 1
"""In place of the number of a call that a signal could make again."""


def numbers_here() -> dict[str, int]:
    """Return the numbers of this machine's system calls by name, none where they are not known."""
    table = MACHINES.get(platform.machine(), (0, ""))[1]
    if not table:
        return {}
    words = f"{BY_DESCRIPTOR[table]} mmap {MMAP[table]} {BY_PATH[table]} {OTHERS[table]}".split()
    return {name: int(number.partition(":")[0]) for name, number in zip(words[::2], words[1::2], strict=True)}


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


def seize_filtered(pid: int) -> None:
    """Begin to trace a process that will have a filter, which runs on; it dies with this one. Raises OSError."""
    _call(PTRACE_SEIZE, pid, 0, FILTERED)


def go_on(pid: int, signal: int = 0) -> None:
    """Let a stopped process run to the next entry or exit of a system call, with this signal. Raises OSError."""
    _call(PTRACE_SYSCALL, pid, 0, signal)


def run_on(pid: int, signal: int = 0) -> None:
    """Let a stopped process run to the next call that its filter stops, with this signal. Raises OSError."""
    _call(PTRACE_CONT, pid, 0, signal)


def message(pid: int) -> int:
    """Return what an event comes with: the new process of a fork, the former number of one that executes."""
    its = c_uint64()
    _call(PTRACE_GETEVENTMSG, pid, 0, ctypes.addressof(its))
    return its.value


class _Vector(Structure):
    """struct iovec."""

    _fields_ = (("base", c_void_p), ("length", c_uint64))


def registers(pid: int) -> tuple[int, ...]:
    """Return the registers of a stopped process, in the order of FRAMES. Raises OSError."""
    room = ctypes.create_string_buffer(struct.calcsize(FRAMES[platform.machine()][0]))
    vector = _Vector(ctypes.addressof(room), len(room))
    _call(PTRACE_GETREGSET, pid, NT_PRSTATUS, ctypes.addressof(vector))
    return struct.unpack(FRAMES[platform.machine()][0], room.raw)


def set_registers(pid: int, values: tuple[int, ...]) -> None:
    """Set the registers of a stopped process. Raises OSError."""
    room = ctypes.create_string_buffer(struct.pack(FRAMES[platform.machine()][0], *values))
    vector = _Vector(ctypes.addressof(room), len(room) - 1)
    _call(PTRACE_SETREGSET, pid, NT_PRSTATUS, ctypes.addressof(vector))


def let_go(pid: int, signal: int = 0) -> None:
    """Trace a stopped process no more; it runs on, with this signal. Raises OSError."""
    _call(PTRACE_DETACH, pid, 0, signal)


def stay_stopped(pid: int) -> None:
    """Leave a process stopped that a signal has stopped, as it would be untraced. Raises OSError."""
    _call(PTRACE_LISTEN, pid)


def result(pid: int, info: SyscallInfo) -> int:
    """Return what the system call at whose exit the process is stopped came to: minus an errno where it failed."""
    _call(PTRACE_GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.addressof(info))
    return ctypes.c_int64(info.number).value


def inject(pid: int, number: int, argument: int) -> int:
    """Let a thread make one more system call, of one argument, and return its result. Raises OSError.

    It is at the exit of a call, and is so again afterwards: what it will see is the result of that. Signals that come
    meanwhile are sent to it anew.
    """
    place, values = INJECTED[platform.machine()], registers(pid)
    changed = list(values)
    changed[place.call] = number
    changed[place.again] = NO_CALL
    changed[place.argument] = argument
    changed[place.instruction] -= place.size
    set_registers(pid, tuple(changed))
    late: list[int] = []
    for _ in range(2):  # its entry, and its exit
        go_on(pid)
        while not _is_at_call(pid, late):
            go_on(pid)
    answer = ctypes.c_int64(registers(pid)[place.call]).value
    set_registers(pid, values)
    for each in late:
        os.kill(pid, each)
    if -PATH_BYTES < answer < 0:
        raise OSError(-answer, os.strerror(-answer), "injected call")
    return answer


def _is_at_call(pid: int, late: list[int]) -> bool:
    """Wait for the next stop of a thread; note the signal that it is about another."""
    _, status = os.waitpid(pid, WALL)
    if not os.WIFSTOPPED(status):
        raise ProcessLookupError
    stop = os.WSTOPSIG(status)
    if stop != SIGTRAP | 0x80 and not status >> 16:
        late.append(stop)
    return stop == SIGTRAP | 0x80


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


LOAD, EQUALS, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, TRACE = 0x7FFF_0000, 0x7FF0_0000
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
MAP_ANONYMOUS = 0x20


class _Program(Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", c_void_p))


def stop_at(
    calls: Iterable[int], values: Mapping[int, tuple[int, Iterable[int]]], but: Mapping[int, tuple[int, int]]
) -> None:
    """Let this process, and all that it forks and executes, stop for its tracer at these calls, and at no others.

    A call of `values` stops only where that argument has one of the values, one of `but` only where that argument has
    none of the bits. Without a tracer these calls fail. Without CAP_SYS_ADMIN set-user-ID programs get no privileges
    from then on (prctl(2), PR_SET_NO_NEW_PRIVS). Raises OSError.
    """
    code = [(LOAD, 0, 0, 4), (EQUALS, 1, 0, MACHINES[platform.machine()][0]), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 0)]
    for number in calls:
        code += [(EQUALS, 0, 1, number), (RETURN, 0, 0, TRACE)]
    for number, (argument, wanted) in values.items():
        tests = [each for value in wanted for each in ((EQUALS, 0, 1, value), (RETURN, 0, 0, TRACE))]
        code += [(EQUALS, 0, len(tests) + 2, number), (LOAD, 0, 0, 16 + 8 * argument), *tests, (RETURN, 0, 0, ALLOW)]
    for number, (argument, bits) in but.items():
        code += [(EQUALS, 0, 4, number), (LOAD, 0, 0, 16 + 8 * argument), (ANY_BIT, 1, 0, bits)]
        code += [(RETURN, 0, 0, TRACE), (RETURN, 0, 0, ALLOW)]
    code.append((RETURN, 0, 0, ALLOW))
    room = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
    program = _Program(len(code), ctypes.addressof(room))
    for attempt in range(2):
        if not _prctl(PR_SET_SECCOMP, c_long(MODE_FILTER), ctypes.byref(program), c_long(0), c_long(0)):
            return
        if attempt or ctypes.get_errno() != EACCES:
            break
        _prctl(PR_SET_NO_NEW_PRIVS, c_long(1), c_long(0), c_long(0), c_long(0))
    checked(-1, "seccomp(2)")
