"""Read the logs that a watched program left: one history of all its processes, in the order in which calls took effect.

`_watch.h` writes them. A process has a log for each program that it executes: events of 64 bytes after a header of one
page, and a text file beside it with what has no fixed size. A log whose process was killed ends with the last call it
began. Two stamps of CLOCK_MONOTONIC bound each call: what it took took effect before the second, and what it released
no earlier than the first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from struct import Struct

from lab.analysis.watched import EventList, History, Image, Kind, WatchedFile, WatchedProcess
from lab.errors import UsageError

from .levels import LEVELS
from .merged import EVENT, HEAD, LogEvents, MergedEvents, Source
from .tracepoints import TRACE, history_of

HEADER = Struct("<8sIIiiQQQQII")

MAGIC, VERSION = b"LABWATCH", 1


class Entry:
    """An event of a log that is being written; a change counts from the next `write` on."""

    __slots__ = (
        "begin", "fd", "file", "finish", "flags", "kind", "length", "other", "place", "result", "stack", "start",
        "thread",
    )  # fmt: skip

    def __init__(self, kind: Kind, begin: int, thread: int, file: int = 0, fd: int = -1, stack: int = 0) -> None:
        self.kind, self.begin, self.thread, self.file, self.fd, self.stack = kind, begin, thread, file, fd, stack
        self.finish = self.start = self.length = self.result = self.flags = 0
        self.other = self.place = -1

    def packed(self) -> bytes:
        """Return it as the log has it."""
        return EVENT.pack(
            self.begin, self.finish, self.start, self.length, self.file, self.stack, self.fd, self.other, self.result,
            self.thread, self.kind, self.flags, 0,
        )  # fmt: skip


class LogWriter:
    """Writes the log of one program of one process, as the preloaded library does: for those into which none can be."""

    def __init__(self, folder: Path, pid: int, parent: int, started: int, forked: int = 0, level: int = 0) -> None:
        """Make the log. Raises OSError."""
        path = folder / f"{pid}-{started}.log"
        new = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._log = os.open(path, os.O_RDWR | new, 0o600)
        self._text = os.open(path.with_suffix(".txt"), os.O_WRONLY | os.O_APPEND | new, 0o600)
        self._head, self._level = (pid, parent, started, forked), level
        self._count = self._lost = 0
        self._write_head()
        os.ftruncate(self._log, HEAD)

    def text(self, line: str) -> None:
        """Write a line beside the log."""
        with suppress(OSError):
            os.write(
                self._text,
                "".join(each if each >= " " or each in KEPT else "?" for each in line).encode("utf-8", "replace")
                + b"\n",
            )

    def write(self, entry: Entry) -> None:
        """Write an event, or write it anew; where there is no room it is counted as lost."""
        try:
            if entry.place < 0:
                entry.place = self._count
                self._count += 1
                os.pwrite(self._log, entry.packed(), HEAD + entry.place * EVENT.size)
                self._write_head()
            else:
                os.pwrite(self._log, entry.packed(), HEAD + entry.place * EVENT.size)
        except OSError:
            self._lost += 1

    def _write_head(self) -> None:
        head = HEADER.pack(
            MAGIC, VERSION, EVENT.size, *self._head, self._count, self._lost, self._lost > 0, self._level
        )
        os.pwrite(self._log, head, 0)

    def close(self) -> None:
        """Write nothing more."""
        with suppress(OSError):
            self._write_head()
        os.close(self._log)
        os.close(self._text)


KEPT = "\t\n\x1f"
"""The control characters that the text beside a log has a use for."""


class _Log:
    """One log file and its text."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            head, length = file.read(HEAD), os.fstat(file.fileno()).st_size
        if len(head) < HEAD or head[:8] != MAGIC:
            raise UsageError(f"{path.name} is no log of lab watch; give the folder that --keep named")
        _, version, size, self.pid, self.parent, self.started, self.forked, count, self.lost, self.full, self.level = (
            HEADER.unpack_from(head)
        )
        if (version, size) != (VERSION, EVENT.size):
            raise UsageError(f"{path.name} was written by another version of the lab; watch the program again")
        count = min(count, (length - HEAD) // EVENT.size)
        self.events = LogEvents(path, count, self.parent, self.started, self.forked)
        text = path.with_suffix(".txt")
        self.lines = text.read_text(errors="replace").split("\n") if text.exists() else []


def read_logs(folder: Path) -> History:
    """Return the history of the logs in a folder. Raises UsageError where there is none, or one of another version."""
    trace = folder / TRACE
    if trace.is_file():
        try:
            return history_of(trace.read_text(errors="replace"))
        except (ValueError, KeyError, IndexError) as error:
            raise UsageError(f"{trace.name} is damaged ({error}); watch the program again") from error
    paths = [path for path in folder.glob("*.log") if path.is_file()]
    try:
        logs = sorted((_Log(path) for path in paths if path.stat().st_size), key=lambda log: log.started)
        if not logs:
            raise UsageError(f"{folder}: no logs of lab watch; give the folder that --keep named")
        history = _Reader().read(logs)
    except (ValueError, KeyError, IndexError) as error:
        raise UsageError(f"{folder}: a log is damaged ({error}); watch the program again") from error
    history.unrecorded = len(paths) - len(logs)
    return history


class _Reader:
    """Puts the logs of one run together: processes, then what they did."""

    def __init__(self) -> None:
        self.history = History([], [], [], EventList(), [])
        self._files: dict[tuple[int, int, int], int] = {}
        self._processes: dict[int, list[int]] = {}
        self._awaited: dict[int, str] = {}
        """The program that a process was about to execute, until its log shows that it is watched too."""

    def read(self, logs: list[_Log]) -> History:
        images = [self._image(log) for log in logs]
        sources = [
            Source(log.events, image.process, number, files)
            for number, (log, (image, files)) in enumerate(zip(logs, images, strict=True))
        ]
        self.history.events = MergedEvents(sources, self._process_at)
        self.history.escaped += self._awaited.values()
        self.history.level = LEVELS[max(log.level for log in logs)]
        return self.history

    def _image(self, log: _Log) -> tuple[Image, dict[int, int]]:
        """Return the image of a log, and the places of its files by their numbers in it."""
        image = Image(self._process(log))
        self.history.images.append(image)
        return image, self._text(log, image, self.history.processes[image.process])

    def _process(self, log: _Log) -> int:
        """Return the number of the process; one that executes another program is the same."""
        processes, known = self.history.processes, self._processes.setdefault(log.pid, [])
        if not known or processes[known[-1]].ended or processes[known[-1]].parent != log.parent:
            known.append(len(processes))
            processes.append(WatchedProcess(log.pid, log.parent, log.started))
        self._awaited.pop(log.pid, None)
        its = processes[known[-1]]
        its.ended = Kind.EXIT in log.events.kinds
        its.lost += log.lost
        its.full |= bool(log.full)
        return known[-1]

    def _process_at(self, pid: int, time: int) -> int:
        """Return the process that had this number then, -1 where there is no log of it."""
        processes = self.history.processes
        return max((each for each in self._processes.get(pid, ()) if processes[each].started_ns <= time), default=-1)

    def _text(self, log: _Log, image: Image, process: WatchedProcess) -> dict[int, int]:
        """Read the text beside a log; return the places of its files by their numbers in it."""
        files: dict[int, int] = {}
        in_maps = False
        for line in log.lines:
            word, _, rest = line.partition(" ")
            if in_maps or word == "maps":
                in_maps = word != "end"
                _add_code(image, line)
            elif word in ("file", "same"):
                number, device, inode, born, _, *path = rest.split(" ", 5)
                files[int(number)] = self._file((int(device), int(inode), int(born)), "".join(path))
            elif word == "name":
                key, _, name = rest.partition(" ")
                self.history.files[files[int(key)]].names.append(name)
            elif word in ("who", "stack", "python", "java"):
                _add_to_image(image, word, rest)
            elif word == "program":
                process.programs.append(_command(rest))
            elif word == "tracer":
                self.history.recorder = "tracer"
            elif word == "limit":
                self.history.limits.append(rest)
            else:
                self._exec(log.pid, word, rest)
        return files

    def _exec(self, pid: int, word: str, rest: str) -> None:
        """A process was about to execute a program, or could not."""
        if word == "executes":
            self._awaited[pid] = rest
        elif word == "failed":
            self._awaited.pop(pid, None)

    def _file(self, key: tuple[int, int, int], path: str) -> int:
        if key not in self._files:
            self._files[key] = len(self.history.files)
            self.history.files.append(WatchedFile(path))
        return self._files[key]


def _add_to_image(image: Image, word: str, rest: str) -> None:
    if word == "who":
        image.who = rest
    elif word == "stack":
        key, *frames = rest.split()
        image.stacks[int(key)] = [int(each, 16) for each in frames]
    else:
        key, *words = rest.split("\t")
        image.interpreted[int(key)] = [(words[k], int(words[k + 1]), words[k + 2]) for k in range(0, len(words) - 2, 3)]


Code = tuple[int, int, int, str]
"""Where code is loaded: the first address, the one behind the last, the place in the file, and the file."""


def code_of(line: str) -> Code | None:
    """Return the code that a line of /proc/PID/maps (proc_pid_maps(5)) tells of; None where it is other memory."""
    words = line.split(None, 5)
    if len(words) != 6 or "x" not in words[1] or not words[5].startswith("/"):
        return None
    start, end = (int(each, 16) for each in words[0].split("-"))
    return start, end, int(words[2], 16), words[5]


def _add_code(image: Image, line: str) -> None:
    code = code_of(line)
    if code and code not in image.code:
        image.code.append(code)


def _command(text: str) -> str:
    """Return the command line of a program, from its path and its arguments."""
    path, _, arguments = text.partition("\t")
    words = arguments.rstrip("\x1f").split("\x1f")
    return " ".join([Path(path).name, *words[1:]])
