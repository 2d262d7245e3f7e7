"""Read what the kernel's tracepoints said of locks: one history of all processes.

Each line is of one thread, in one system call: a grant, a refusal, a release, a close that dropped locks, a fork, an
end. What stands behind a "#" was written by `lab.watching.kernel`.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lab.analysis.watched import (
    END,
    EXCLUSIVE,
    RELEASED,
    WAITS,
    Event,
    EventList,
    History,
    Image,
    Kind,
    WatchedFile,
    WatchedProcess,
)
from lab.processes import ptrace

TRACE = "kernel.trace"
"""The name of the file with what the kernel said."""

RESTARTS = -512
"""What the kernel has for a call that a signal interrupted: it is made again, or fails (ERESTARTSYS)."""

CLONE_THREAD, DEFERRED, TO_THE_END = 0x10000, 1, (1 << 63) - 1
LIMITS = (
    "reads and writes, which files replaced others, and source lines: the kernel tells of locks alone",
    "locks of filesystems with lock code of their own (FUSE, NFS and others), of which the kernel does not tell",
)

FileKey = tuple[int, int, int]
"""Device, as major and minor, and inode."""


class Said(NamedTuple):
    """One line of the kernel's: what a thread did, and when."""

    time: int
    tid: int
    event: str
    file: FileKey | None
    values: dict[str, str]

    def number(self, name: str) -> int:
        """Return a value that is a number."""
        return int(self.values.get(name, "0"))


LINE = re.compile(r"\s*.*-(\d+)\s+(?:\(\s*\S+\)\s+)?\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (\w+): (.*)")
CALL = re.compile(r"NR (-?\d+) \((.*)\)")
LOST = re.compile(r"CPU:\d+ \[LOST (\d+) EVENTS\]")


def said_in(line: str) -> Said | None:
    """Return what a line says, None for what is no line of an event."""
    found = LINE.fullmatch(line)
    if found is None:
        return None
    tid, seconds, parts, event, rest = found.groups()
    if call := CALL.fullmatch(rest):
        values = {"number": call[1], "arguments": call[2]}
    else:
        values = dict(word.partition("=")[::2] for word in rest.split(" ") if "=" in word)
    file = None
    if "ino" in values:
        major, _, minor = values["dev"].partition(":")
        file = int(major, 16), int(minor, 16), int(values["ino"], 16)
    return Said((int(seconds) * 1_000_000 + int(parts)) * 1000, int(tid), event, file, values)


def history_of(text: str) -> History:
    """Return the history of what the kernel said. Raises ValueError and KeyError where it is damaged."""
    return _Reader(text).read()


class _Call(NamedTuple):
    """The system call that a thread is in."""

    time: int
    name: str
    arguments: list[int]


_Range = tuple[int, int, int]
"""The start and the end of what is held, and its mode."""


@dataclass(slots=True)
class _Description:
    """An open file description: the descriptor that stands for it, the process that opened it, the place of that event,
    and the processes that have locked by it.
    """

    number: int
    opener: int
    place: int
    users: set[int]


class _Reader:
    def __init__(self, text: str) -> None:
        lines = text.splitlines()
        said = list(filter(None, map(said_in, lines)))
        self._said = sorted(said, key=lambda each: each.time)
        self._paths: dict[FileKey, str] = {}
        self._left_out: set[FileKey] = set()
        self._events = EventList()
        self.history = History([], [], [], self._events, [], recorder="kernel")
        self._numbers: dict[int, int] = {}
        self._files: dict[FileKey, int] = {}
        self._calls = {number: name for name, number in ptrace.numbers_here().items()}
        self._in: dict[int, _Call] = {}
        self._process_of: dict[int, int] = {}
        """The process of each thread."""
        self._waiting: dict[int, tuple[_Call, Event]] = {}
        self._ended: dict[int, int] = {}
        """When processes ended."""
        self._descriptions: dict[str, _Description] = {}
        """Open file descriptions by what the kernel calls them."""
        self._count = 0
        self._ranges: dict[tuple[str, int], list[_Range]] = {}
        """What each owner holds of each file."""
        self._owners: dict[int, str] = {}
        """What the kernel calls the table of descriptors of each process, to which its POSIX locks belong."""
        self._locking: dict[tuple[int, int], int] = {}
        """The file of each descriptor by which a POSIX lock was taken."""
        self._executed: dict[int, int] = {}
        """When a process last executed a program."""
        self._last_fd: dict[tuple[int, int], int] = {}
        lost = 0
        for line in lines:
            if line.startswith("# "):
                self._read_note(line)
            elif found := LOST.fullmatch(line):
                lost += int(found[1])
        self.history.limits += LIMITS
        if lost:
            self.history.limits.append(f"{lost:,} events, for which the kernel's buffer had no room")

    def _read_note(self, line: str) -> None:
        _, word, *rest = line.split(" ", 5)
        if word == "started":
            self._process(int(rest[0]))
            return
        key = int(rest[0]), int(rest[1]), int(rest[2])
        self._paths[key] = rest[3]
        if word == "leave":
            self._left_out.add(key)

    def read(self) -> History:
        """Go through all that was said."""
        for said in self._said:
            if said.event == "sys_enter":
                self._enter(said)
            elif said.event == "sched_process_fork":
                self._fork(said)
            elif said.event == "sched_process_exec":
                if (parent := self._process_of.get(said.tid, said.tid)) != said.tid:
                    self._process_of[said.tid] = said.tid
                    self._forked(said, parent, said.tid)
                self._executed[said.tid] = said.time
                program = Path(said.values["filename"]).name
                self.history.processes[self._process(said.tid)].programs.append(program)
            elif said.event == "sched_process_exit":
                if said.values.get("group_dead") == "true":
                    self._end(said, "exit")
            elif said.file and said.file not in self._left_out:
                self._lock(said, said.file)
        for _, event in self._waiting.values():
            self._events.append(event._replace(time=END, finish=0))
        self._events.sort(key=lambda event: event.time)
        return self.history

    def _pid(self, tid: int) -> int:
        return self._process_of.get(tid, tid)

    def _process(self, pid: int) -> int:
        if pid not in self._numbers:
            self._numbers[pid] = len(self.history.processes)
            self.history.processes.append(WatchedProcess(pid, 0, 0))
            self.history.images.append(Image(self._numbers[pid]))
        return self._numbers[pid]

    def _add(self, said: Said, kind: Kind, *, time: int = 0, **more: int) -> None:
        self._events.append(self._event(said, kind, self._pid(said.tid), time or said.time, **more))

    def _event(self, said: Said, kind: Kind, pid: int, time: int, **more: int) -> Event:
        its = self._process(pid)
        empty = Event(time, its, kind, -1, 0, END, -1, -1, 0, 0, time, time, (its, 0), said.tid)
        return empty._replace(**more)  # type: ignore[arg-type]

    def _enter(self, said: Said) -> None:
        name = self._calls.get(said.number("number"), "")
        call = _Call(said.time, name, [int(each, 16) for each in said.values["arguments"].split(", ")])
        waiting = self._waiting.pop(said.tid, None)
        if waiting and waiting[0][1:] == call[1:]:  # a signal came, and it is made again
            self._waiting[said.tid] = waiting
        elif waiting:
            self._events.append(waiting[1]._replace(time=said.time, finish=said.time, result=errno.EINTR))
        self._in[said.tid] = call
        if name == "exit_group":
            self._end(said, name)

    def _end(self, said: Said, name: str) -> None:
        """A process ends: what it still has is released. One that was killed says nothing."""
        pid, call = self._pid(said.tid), self._in.get(said.tid)
        if call and call.name == name and pid not in self._ended:
            self._add(said, Kind.EXIT)
        self._ended.setdefault(pid, said.time)

    def _fork(self, said: Said) -> None:
        child, call = said.number("child_pid"), self._in.get(said.tid)
        is_thread = call and (call.name == "clone3" or (call.name == "clone" and call.arguments[0] & CLONE_THREAD))
        if is_thread:  # one of clone3 that executes a program was none after all
            self._process_of[child] = self._pid(said.tid)
            return
        self._forked(said, self._pid(said.tid), child)

    def _forked(self, said: Said, parent: int, child: int) -> None:
        if self._ended.pop(child, None) is not None:
            del self._numbers[child]  # another process of the same number
        its = self.history.processes[self._process(child)]
        its.parent, its.started_ns = parent, said.time
        self._events.append(self._event(said, Kind.FORK, child, said.time, other=self._process(parent)))

    def _file(self, key: FileKey) -> int:
        if key not in self._files:
            self._files[key] = len(self.history.files)
            unknown = f"inode {key[2]} on device {key[0]}:{key[1]}"
            self.history.files.append(WatchedFile(self._paths.get(key) or unknown))
        return self._files[key]

    def _lock(self, said: Said, key: FileKey) -> None:
        self._process_of[said.tid] = pid = said.number("fl_pid")
        flags, result = said.values["fl_flags"].split("|"), said.number("ret")
        call = self._in.get(said.tid, _Call(said.time, "", [-1, -1]))
        if said.event == "fcntl_setlk":
            if result > RESTARTS and (waiting := self._waiting.pop(said.tid, None)):
                self._events.append(waiting[1]._replace(time=said.time, finish=said.time, result=-result))
            return
        file, owner = self._file(key), said.values["fl_owner"]
        if "FL_CLOSE" in flags:
            self._ranges.pop((owner, file), None)
            if owner in self._descriptions:
                self._close(said, file)
            elif said.event == "locks_remove_posix" and owner == self._owners.get(pid) and pid not in self._ended:
                self._drop(said, call, file)
            return
        kind = Kind.FLOCK if "FL_FLOCK" in flags else Kind.OFD if "FL_OFDLCK" in flags else Kind.POSIX
        if kind is Kind.POSIX:
            fd = self._last_fd[pid, file] = call.arguments[0] if call.name == "fcntl" else -1
            self._describe(said, pid, fd, file, call.time)
            self._owners[pid] = owner
        else:
            fd = self._description(said, pid, file)
        mode = {"F_RDLCK": 0, "F_WRLCK": EXCLUSIVE}.get(said.values["fl_type"], RELEASED)
        last = said.number("fl_end")
        event = self._event(
            said, kind, pid, said.time, file=file, fd=fd, start=said.number("fl_start"),
            end=END if last == TO_THE_END else last + 1, flags=mode | (WAITS if "FL_SLEEP" in flags else 0),
            begin=call.time if call.name == ("flock" if kind is Kind.FLOCK else "fcntl") else said.time,
        )  # fmt: skip
        ranges = self._ranges.setdefault((owner, file), [])
        if mode == RELEASED:
            _cut(ranges, event.start, event.end)
            self._events.append(event._replace(time=event.begin))
        elif result == DEFERRED:
            self._waiting.setdefault(said.tid, (call, event))
        else:
            self._answer(event, self._waiting.pop(said.tid, None), ranges, max(-result, 0))

    def _answer(self, event: Event, waiting: tuple[_Call, Event] | None, ranges: list[_Range], error: int) -> None:
        """A lock is granted or refused, at once or to one that has waited."""
        if waiting:
            event = event._replace(begin=waiting[1].begin, start=waiting[1].start, end=waiting[1].end)
        elif not error:
            start, end = _asked(ranges, event.start, event.end, event.flags & 3)
            event = event._replace(start=start, end=end)
        if not error:
            _cut(ranges, event.start, event.end)
            ranges.append((event.start, event.end, event.flags & 3))
        self._events.append(event._replace(result=error))

    def _drop(self, said: Said, call: _Call, file: int) -> None:
        """A close drops all locks of the process on the file."""
        closed = {"close": 0, "dup2": 1, "dup3": 1}.get(call.name)
        fd = call.arguments[closed] if closed is not None else self._last_fd.get((self._pid(said.tid), file), -1)
        self._describe(said, self._pid(said.tid), fd, file, call.time)
        self._add(said, Kind.CLOSE, time=call.time, file=file, fd=fd)
        del self._locking[self._pid(said.tid), fd]

    def _describe(self, said: Said, pid: int, fd: int, file: int, time: int) -> None:
        """Let a descriptor be opened where it was not known before: opening says nothing here."""
        if self._locking.get((pid, fd)) != file:
            self._locking[pid, fd] = file
            opened = self._event(said, Kind.OPEN, pid, time, file=file, fd=fd, other=0)
            self._events.append(opened)

    def _description(self, said: Said, pid: int, file: int) -> int:
        """Return the number that stands for an open file description.

        Processes that share it have it from one that opened it before it forked them.
        """
        events, name = self._events, said.values["fl_owner"]
        its = self._descriptions.get(name)
        if its is None:
            its = self._descriptions[name] = _Description((1 << 20) + self._count, pid, len(events), {pid})
            self._count += 1
            events.append(self._event(said, Kind.OPEN, pid, said.time, file=file, fd=its.number, other=0))
        elif pid not in its.users:
            its.users.add(pid)
            its.opener = next((each for each in self._line(its.opener) if each in self._line(pid)), its.opener)
            began = self.history.processes[self._process(its.opener)].started_ns + 1
            events[its.place] = events[its.place]._replace(process=self._process(its.opener), time=began)
        return its.number

    def _line(self, pid: int) -> list[int]:
        """Return a process and those that it descends from."""
        line = [pid]
        while parent := self.history.processes[self._process(line[-1])].parent:
            line.append(parent)
        return line

    def _close(self, said: Said, file: int) -> None:
        """The last descriptor of a description is closed: whoever had it has it no more."""
        its = self._descriptions.pop(said.values["fl_owner"], None)
        if its is not None:
            closer = self._pid(said.tid)
            if closer != its.opener and closer in self._executed:  # it had it across the execution
                time = self._executed[closer]
                self._events.append(self._event(said, Kind.INHERITED, closer, time, file=file, fd=its.number))
            late = [pid for pid in sorted(self._numbers, reverse=True) if its.opener in self._line(pid)]
            for pid in sorted(late, key=lambda each: each == closer):
                time = said.time if pid == closer else self._ended.get(closer, said.time) - 1
                closed = self._event(said, Kind.CLOSE, pid, time, file=file, fd=its.number)
                self._events.append(closed)


def _cut(ranges: list[_Range], start: int, end: int) -> None:
    """Take a range away."""
    kept = [
        part for low, high, mode in ranges for part in ((low, min(high, start), mode), (max(low, end), high, mode))
        if part[0] < part[1]
    ]  # fmt: skip
    ranges[:] = kept


def _asked(held: list[_Range], start: int, end: int, mode: int) -> tuple[int, int]:
    """Return which range was asked for: of a grant the kernel tells all that it joins with in the same mode."""
    asked = [(start, end, mode)]
    for low, high, its in held:
        if its == mode:
            _cut(asked, low, high)
    return (min(each[0] for each in asked), max(each[1] for each in asked)) if asked else (start, end)
