"""A real file, mapped by real processes, behind the calls of the model in memory.js: a byte of a page of 16 stands for
the byte at the same place of a real page.

To be run in a fresh interpreter: it forks. The processes call mmap(2) through ctypes, for Python's own mmap maps
nothing beyond the end of a file.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
from pathlib import Path
from typing import Any, NoReturn

PAGE = 16
PAGES = 3
LENGTH = PAGE * PAGES

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
FAILED = ctypes.c_void_p(-1).value

Look = dict[str, Any]
"""What is to be seen after a call: what it came to, the file as read(2) has it, and what each process finds."""


def real(at: int) -> int:
    """The place in the real file or mapping; a place within a page that is none of a page's begin stays what it is."""
    return at // PAGE * mmap.PAGESIZE + at % PAGE


class Process:
    """One process with at most one mapping, made anew when it was killed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.mapped: int | None = None
        self._start()

    def _start(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if not self._pid:
            self._channel.close()
            try:
                _serve(theirs, self._descriptor)
            finally:
                os._exit(1)
        theirs.close()

    def ask(self, *command: Any) -> Any:
        """What the call came to; the name of the signal that killed the process, which is then started again."""
        self._channel.send(json.dumps(command).encode())
        answer = self._channel.recv(1 << 16)
        if answer:
            return json.loads(answer)
        ended = os.waitpid(self._pid, 0)[1]
        self.mapped = None
        self._start()
        return signal.Signals(os.WTERMSIG(ended)).name

    def map(self, shared: bool, writable: bool, offset: int) -> Any:
        """Map the three pages, from that offset on."""
        answer = self.ask("map", shared, writable, real(offset), real(LENGTH) - real(offset))
        self.mapped = offset if answer == "ok" else self.mapped
        return answer

    def unmap(self) -> Any:
        """Give the mapping back."""
        self.mapped = None
        return self.ask("unmap")

    def seen(self, reach: int) -> list[int]:
        """The bytes that it finds, by their place in the file; -1 where it would find none."""
        start = LENGTH if self.mapped is None else self.mapped
        found: list[int] = self.ask("loads", [real(at) - real(start) for at in range(start, reach)])
        return [-1] * min(start, LENGTH) + found + [-1] * (LENGTH - max(start, reach))

    def end(self) -> None:
        """Kill and reap it; processes that were forked later may hold its channel too."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _serve(channel: socket.socket, descriptor: int) -> NoReturn:
    address = length = 0
    while command := channel.recv(1 << 16):
        verb, *args = json.loads(command)
        answer: Any = "ok"
        if verb == "map":
            shared, writable, offset, wanted = args
            protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
            flags = mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE
            made = LIBC.mmap(None, wanted, protection, flags, descriptor, offset)
            if made == FAILED:
                answer = errno.errorcode[ctypes.get_errno()]
            else:
                address, length = made, wanted
        elif verb == "unmap":
            LIBC.munmap(address, length)
        elif verb == "loads":
            answer = [ctypes.c_ubyte.from_address(address + at).value for at in args[0]]
        elif verb == "store":
            ctypes.c_ubyte.from_address(address + args[0]).value = args[1]
        channel.send(json.dumps(answer).encode())
    os._exit(0)


def perform(folder: str, content: str, calls: list[list[Any]]) -> list[Look]:
    """Make the calls, one after the other, on a new file with this content in the folder; what is seen after each."""
    path = Path(folder) / f"mapped-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    path.unlink()
    for at, character in enumerate(content):
        os.pwrite(descriptor, character.encode(), real(at))
    processes = {who: Process(descriptor) for who in "AB"}
    try:
        return [_look(_made(processes, descriptor, call), processes, descriptor, len(content)) for call in calls]
    finally:
        for process in processes.values():
            process.end()


def _made(processes: dict[str, Process], descriptor: int, call: list[Any]) -> Any:
    verb, *args = call
    if verb == "read":
        found = os.pread(descriptor, 1, real(args[0]))
        return found[0] if found else -1
    if verb == "write":
        os.pwrite(descriptor, bytes([args[1]]), real(args[0]))
        return "ok"
    process = processes[args.pop(0)]
    if verb == "map":
        return process.map(**args[0])
    if verb == "unmap":
        return process.unmap()
    place = real((process.mapped or 0) + args[0]) - real(process.mapped or 0)
    if verb == "store":
        return process.ask("store", place, args[1])
    found = process.ask("loads", [place])
    return found if isinstance(found, str) else found[0]


def _look(answer: Any, processes: dict[str, Process], descriptor: int, size: int) -> Look:
    reach = -(-size // PAGE) * PAGE
    file = [os.pread(descriptor, 1, real(at)) for at in range(LENGTH)]
    seen = {who: process.seen(reach) for who, process in processes.items()}
    return {"answer": answer, "file": [each[0] if each else -1 for each in file], **seen}
