"""Record what happens to processes that are traced: the events of their logs, with the stacks of calls."""

from __future__ import annotations

import errno
import os
import platform
import stat
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns as now
from typing import NamedTuple

from lab.analysis.watched import Kind
from lab.processes import ptrace
from lab.processes.follower import Finish

from .log import Entry, LogWriter
from .pages import PAGE, Pages
from .traced import REGULAR, Files, Opened, Process
from .unwind import callers

MACHINE = platform.machine()
MOST_WALKED = 8


class Call(NamedTuple):
    """A system call that a thread is about to make."""

    its: Process
    tid: int
    arguments: Sequence[int]
    instruction: int
    stack: int
    begun: int

    def number(self, place: int) -> int:
        """Return an argument that is an int of C."""
        value = self.arguments[place] & 0xFFFF_FFFF
        return value - (1 << 32) if value & 0x8000_0000 else value

    def long(self, place: int) -> int:
        """Return an argument that is a long of C."""
        value = self.arguments[place]
        return value - (1 << 64) if value >> 63 else value


class Tracing:
    """The recorder of programs that are traced, in the tracer; `CALLS` are the system calls at which they stop."""

    CALLS: Sequence[str] = ()

    def __init__(self, folder: Path, globs: Collection[str], outputs: str, *, sees_pages: bool = False) -> None:
        """Write logs into a folder, of the files that the globs choose; `outputs` are no shared files."""
        self._sees_pages = sees_pages
        self._folder = folder
        self._files = Files(folder, globs, outputs)
        self._processes: dict[int, Process] = {}
        numbers = ptrace.numbers_here()
        self._calls: dict[int, Callable[[Call], Finish | None]] = {
            numbers[name]: getattr(self, f"_{name}_") for name in self.CALLS if name in numbers
        }

    # -- Processes

    def called(self, pid: int, tid: int, info: ptrace.SyscallInfo) -> Finish | None:
        """Record what a thread is about to do."""
        its = self._processes.get(pid)
        if its is None or its.log is None:
            return None
        if self._sees_pages and its.maps:
            self._look_at_pages(Call(its, tid, tuple(info.arguments), int(info.instruction), int(info.stack), now()))
        call = Call(its, tid, tuple(info.arguments), int(info.instruction), int(info.stack), now())
        return self._calls[info.number](call)

    def forked(self, parent: int, child: int) -> None:
        """Begin the log of a process, with the descriptors of its parent."""
        before = self._processes.get(parent)
        its = self._processes[child] = Process(child, parent)
        if before is None or before.log is None:
            return
        its.fds, its.maps, its.code = dict(before.fds), list(before.maps), before.code
        time = now()
        its.log = LogWriter(self._folder, child, parent, time, time, int(self._sees_pages))
        self._write_program(its)
        its.read_code()
        self._write(its, Kind.FORK, time, other=parent)

    def began(self, pid: int) -> None:
        """Protect the mappings that a process has from its parent, before it runs."""
        its = self._processes.get(pid)
        if self._sees_pages and its and its.maps:
            self._protect(its, pid)

    def executed(self, pid: int) -> None:
        """Begin the log of another program of a process, with the descriptors that stay open."""
        its = self._processes.get(pid)
        if its is None:
            its = Process(pid, os.getppid())
        its.close()
        time = its.executes or now()
        its = self._processes[pid] = Process(pid, its.parent)
        its.log = LogWriter(self._folder, pid, its.parent, time, level=int(self._sees_pages))
        self._write_program(its)
        self._write(its, Kind.START, time, other=its.parent)
        for fd in its.descriptors():
            if opened := its.known(fd, self._files):
                self._write(its, Kind.INHERITED, now(), fd=fd, file=opened.file)

    def ended(self, pid: int, status: int) -> None:
        """End the log of a process."""
        its = self._processes.pop(pid, None)
        if its is not None:
            if os.WIFEXITED(status) and not its.has_ended and its.log:
                self._write(its, Kind.EXIT, now())
            its.close()

    def close(self) -> None:
        """End all logs."""
        for its in self._processes.values():
            its.close()

    def _write_program(self, its: Process) -> None:
        image, log = f"/proc/{its.pid}/exe", its.log
        try:
            path, rights = str(Path(image).readlink()), Path(image).stat().st_mode
            words = Path(f"/proc/{its.pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
            with Path(image).open("rb") as file:
                kind = file.read(5)
        except OSError:
            return
        if log is None:
            return
        log.text("tracer")
        log.text("program " + path + "\t" + "\x1f".join(words))
        name = path.rpartition("/")[2]
        if kind == b"\x7fELF\1":
            log.text(f"limit {name}: it is a program of 32 bits, whose system calls have other numbers")
        if rights & (stat.S_ISUID | stat.S_ISGID) and os.geteuid():
            log.text(f"limit what {name} does as another user: it is set-user-ID, and has no such rights while traced")

    # -- Pages

    def _look_at_pages(self, call: Call) -> None:
        """Write which pages the process has stored to since its last call."""
        its = call.its
        for file, start, end in its.pages.written() if its.pages else ():
            for page in range(start, end, PAGE):
                entry = self._entry(call, Kind.PAGE, file)
                entry.finish, entry.start, entry.length = call.begun, page, PAGE
                self._put(its, entry)

    def _protect(self, its: Process, tid: int) -> None:
        """Protect those mappings of a process that are not yet; its thread is at the exit of a call."""
        if not its.log or its.is_unprotected:
            return
        try:
            pages = its.pages = its.pages or Pages(its.pid, tid)
            for mapping in its.maps:
                if mapping[0] not in (each[0] for each in pages.mappings):
                    with suppress(PermissionError):  # the program may not write to it
                        pages.add(mapping)
        except ProcessLookupError:
            raise
        except OSError as error:
            its.is_unprotected = True
            if error.errno != errno.EBUSY:  # else it is a child of vfork, whose memory is its parent's
                its.log.text(f"limit the pages that process {its.pid} wrote: {error.strerror}")

    # -- Events

    def _write(self, its: Process, kind: Kind, time: int, *, other: int = -1, fd: int = -1, file: int = 0) -> None:
        """Write an event that takes no time."""
        entry = Entry(kind, time, its.pid, file, fd)
        entry.finish, entry.other = time, other
        self._put(its, entry)

    def _put(self, its: Process, entry: Entry) -> None:
        if its.log:
            self._files.describe(entry.file, its)
            its.log.write(entry)

    def _entry(self, call: Call, kind: Kind, file: int, fd: int = -1) -> Entry:
        return Entry(kind, call.begun, call.tid, file, fd, self._stack(call))

    def _completion(self, its: Process, entry: Entry) -> Finish:
        """Write an event whose call begins; return what completes it."""
        self._put(its, entry)

        def finish(result: int) -> None:
            entry.result, entry.finish = min(result, 0), now()
            self._put(its, entry)

        return finish

    def _stack(self, call: Call) -> int:
        """Return the number of the stack of a call."""
        its = call.its
        if not its.code_is_known:
            its.read_code()
        try:
            values = ptrace.registers(call.tid)
        except OSError:
            return 0
        _, stack, frame, back = ptrace.FRAMES[MACHINE]
        registers = values[stack], values[frame], values[back] if back is not None else 0
        at = call.instruction, *registers
        walked = its.walked.setdefault(at, [])
        for words, number in walked:
            if its.words_are(words):
                return number
        frames, words = callers(its.code, MACHINE, call.instruction, registers, its.read)
        if tuple(frames) not in its.stacks:
            its.stacks[tuple(frames)] = len(its.stacks) + 1
            if its.log:
                its.log.text(f"stack {len(its.stacks)} " + " ".join(f"{each:x}" for each in frames))
        walked[MOST_WALKED - 1 :] = [(sorted(words), its.stacks[tuple(frames)])]
        return its.stacks[tuple(frames)]

    def _regular(self, its: Process, fd: int) -> Opened | None:
        opened = its.known(fd, self._files)
        return opened if opened and opened.type == REGULAR else None
