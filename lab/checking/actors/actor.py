"""Make the calls of one actor of `check` in a process of its own, one at a time, and answer with their results.

A command is a JSON list of words (`lab.checking.language`), one datagram; the answer is a string, also one datagram. An
actor that forks receives the channel of its child with the words. The command `all` has a list of `Ordered` calls: each
is answered, up to the first whose result ends it. `Actor.serve` never returns.

Its files are names in the folder of the check, of which it has a descriptor: if that folder is renamed and another
takes its place, an actor neither opens nor removes the files of others.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count, islice
from mmap import mmap
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from lab.checking.language import FLOCKS, GET, SET, errno_name, is_found, listed_names, number, range_of, shown, told
from lab.host.procfs import ListedLock, listed_locks
from lab.locking.kernel import call_range, call_whole, conflict
from lab.memory import map_file
from lab.processes import detach_output
from lab.processes.child import fork_sibling

LONGEST = 1 << 16
NOWHERE = 1 << 20
"""A descriptor that no process has: it stands for a name that was never opened."""

FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}
CREATION = {"": os.O_CREAT, "excl": os.O_CREAT | os.O_EXCL, "existing": 0, "append": os.O_CREAT | os.O_APPEND}

ROOT = str(Path(__file__).parents[3])
RESUME = "import sys; sys.path[:] = {path!r}; from {module} import resume; resume({channel}, {within}, {numbers!r})"


class Ordered(NamedTuple):
    """One of several calls: its words, the results that it may have, whether it may wait and how long it may take.

    A `look` at data may have another result: all are made that follow it.
    """

    words: list[str]
    expected: list[str]
    look: bool
    may_wait: bool
    limit_s: float

    def ends_with(self, result: str) -> bool:
        """Tell whether no further call is made after this result."""
        return result not in self.expected and not (self.look and is_found(result))


class Actor:
    """The state of one process: its channel, its folder, its descriptors and mappings by name.

    `within` is a descriptor of the folder; without one the files are given by their paths.
    """

    def __init__(
        self, channel: socket.socket, within: int | None = None, numbers: dict[str, int] | None = None
    ) -> None:
        self._channel = channel
        self._within = within
        self._numbers = numbers or {}
        self._mappings: dict[str, mmap] = {}

    def serve(self) -> NoReturn:
        """Answer commands until the process is ended."""
        detach_output()
        for ends in (signal.SIGBUS, signal.SIGSEGV):
            signal.signal(ends, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, _go_on)
        while True:
            command, handed = self._heard()
            if command[0] == "all":
                self._make_all([Ordered(*each) for each in command[1]])
                continue
            last = command[0] == "last"
            answer = self._answer(command[last:], handed)
            self._channel.send(json.dumps(answer).encode())
            if last and answer == "granted":
                os._exit(0)

    def _make_all(self, calls: Iterable[Ordered]) -> None:
        for call in calls:
            answer = self._answer(call.words, [])
            self._channel.send(json.dumps(answer).encode())
            if call.ends_with(answer):
                break

    def _heard(self) -> tuple[list[Any], list[int]]:
        content, handed, _, _ = socket.recv_fds(self._channel, LONGEST, 1)
        if not content:  # its parent is gone
            os._exit(0)
        return json.loads(content), handed

    def _answer(self, command: list[str], handed: list[int]) -> str:
        try:
            return self._made(command, handed)
        except OSError as error:
            return errno_name(error.errno or 0)
        except Exception as error:  # a fault of the program, or of the lab
            return f"raised {type(error).__name__}: {error}"

    def _made(self, command: list[str], handed: list[int]) -> str:
        verb, *args = command
        if verb in ("fork", "clone"):
            return self._forked(handed[0], share_files=verb == "clone")
        if verb == "thread":
            return self._in_thread(args)
        if verb in SET or verb in GET:
            return self._range(verb, args)
        method: Callable[..., str | None] = getattr(self, f"_do_{verb}")
        return method(*args) or "ok"

    def _number(self, name: str) -> int:
        return self._numbers.get(name, NOWHERE)

    def _range(self, verb: str, args: list[str]) -> str:
        asked = range_of(tuple(args[1:]))
        answer = call_range(self._number(args[0]), verb, asked.kind, asked.start, asked.length, asked.whence, asked.pid)
        if verb in SET:
            return "granted"
        found = conflict(answer)
        if not found:
            return "free"
        kind, start, length, pid = found
        return told("write" if kind else "read", start, length, f"pid {pid}")

    def _do_held(self, name: str, *places: str) -> str:
        """Return the locks that another owner has on each of these bytes, by asking for them."""
        return " ".join(self._held_at(name, place) for place in places)

    def _held_at(self, name: str, place: str) -> str:
        for kind, found in (("write", "free"), ("read", "read")):
            try:
                self._range("F_SETLK", [name, kind, place, "1"])
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            else:
                self._range("F_SETLK", [name, "unlock", place, "1"])
                return found
        return "write"

    def _in_thread(self, command: list[str]) -> str:
        from threading import Thread

        answers: list[str] = []

        def call() -> None:
            answers.append(self._answer(command, []))

        thread = Thread(target=call)
        thread.start()
        thread.join()
        return answers[0]

    def _forked(self, channel: int, *, share_files: bool) -> str:
        mine = self._channel

        def live() -> None:
            if not share_files:
                mine.close()
            Actor(socket.socket(fileno=channel), self._within, dict(self._numbers)).serve()

        pid = fork_sibling(live, share_files=share_files)
        if not share_files:
            os.close(channel)
        return str(pid)

    def _do_forget(self) -> None:
        """Close everything, because the program is over."""
        self._mappings.clear()
        for descriptor in self._numbers.values():
            os.close(descriptor)
        self._numbers.clear()

    def _do_remove(self, *files: str) -> None:
        """Remove the remaining files and folders of the program; the program may have removed a name."""
        for file in files:
            with suppress(FileNotFoundError):
                try:
                    self._do_unlink(file)
                except (IsADirectoryError, PermissionError):
                    self._do_rmdir(file)

    def _do_open(self, file: str, name: str, mode: str, cloexec: str, how: str) -> None:
        flags = FLAGS[mode] | CREATION[how] | os.O_NOFOLLOW
        descriptor = os.open(file, flags, 0o600, dir_fd=self._within)
        os.set_inheritable(descriptor, not cloexec)
        self._numbers[name] = descriptor

    def _do_dup(self, name: str, _as: str, other: str) -> None:
        self._numbers[other] = descriptor = os.dup(self._number(name))
        os.set_inheritable(descriptor, True)

    def _do_close(self, name: str) -> None:
        os.close(self._numbers.pop(name, NOWHERE))

    def _do_flock(self, name: str, kind: str, wait: str = "") -> str:
        call_whole(self._number(name), FLOCKS[kind] if kind in FLOCKS else int(kind), wait=bool(wait))
        return "granted"

    def _do_unlink(self, file: str) -> None:
        os.unlink(file, dir_fd=self._within)

    def _do_mkdir(self, folder: str) -> None:
        os.mkdir(folder, 0o700, dir_fd=self._within)

    def _do_rmdir(self, folder: str) -> None:
        os.rmdir(folder, dir_fd=self._within)

    def _do_link(self, file: str, other: str) -> None:
        os.link(file, other, src_dir_fd=self._within, dst_dir_fd=self._within)

    def _do_links(self, name: str) -> str:
        return str(os.fstat(self._number(name)).st_nlink)

    def _do_rename(self, file: str, other: str) -> None:
        os.rename(file, other, src_dir_fd=self._within, dst_dir_fd=self._within)

    def _do_names(self, prefix: str) -> str:
        """Return the names in the folder that begin so, without that; the folder is opened anew and read."""
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._within)
        try:
            found = os.listdir(folder)  # noqa: PTH208 - of a descriptor
        finally:
            os.close(folder)
        return listed_names(each.removeprefix(prefix) for each in found if each.startswith(prefix))

    def _do_append(self, name: str, text: str) -> None:
        if os.write(self._number(name), text.encode()) < len(text):
            raise OSError(errno.ENOSPC, "no room for all of it")

    def _do_sync(self, name: str) -> None:
        os.fsync(self._number(name))

    def _do_size(self, name: str) -> str:
        return str(os.fstat(self._number(name)).st_size)

    def _do_seek(self, name: str, position: str) -> None:
        os.lseek(self._number(name), number(position), os.SEEK_SET)

    def _do_truncate(self, name: str, size: str) -> None:
        os.ftruncate(self._number(name), int(size))

    def _do_write(self, name: str, start: str, text: str) -> None:
        if os.pwrite(self._number(name), text.encode(), int(start)) < len(text):
            raise OSError(errno.ENOSPC, "no room for all of it")

    def _do_read(self, name: str, start: str, length: str) -> str:
        return shown(os.pread(self._number(name), int(length), int(start)))

    def _do_map(self, name: str, size: str, kind: str = "") -> None:
        self._mappings[name] = map_file(self._number(name), int(size), private=kind == "private")

    def _do_load(self, name: str, start: str, length: str) -> str:
        return shown(self._mappings[name][int(start) : int(start) + int(length)])

    def _do_store(self, name: str, start: str, text: str) -> None:
        self._mappings[name][int(start) : int(start) + len(text)] = text.encode()

    def _do_msync(self, name: str) -> None:
        self._mappings[name].flush()

    def _do_unmap(self, name: str) -> None:
        self._mappings.pop(name).close()

    def _do_listed(self, name: str) -> str:
        """Return the number of locks on the file in /proc/locks; waiting requests do not count.

        Return None where the inode's device there differs from the one that fstat(2) reports, as on btrfs and overlay.
        """
        file = os.fstat(self._number(name))
        device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
        listed = _held(device, file.st_ino)
        while more := _held(device, file.st_ino) - listed:
            listed |= more
        return str(len(listed))

    def _do_limit(self, what: str, most: str) -> None:
        """Allow at most this many descriptors beyond those that are open, or bytes in a file (setrlimit(2))."""
        if what == "size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.RLIM_INFINITY))
            return
        free = (number for number in count() if not _is_open(number))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next(islice(free, int(most), None)), hard))

    def _do_exec(self) -> NoReturn:
        """Replace this image by a new interpreter, which continues with the remaining descriptors (execve(2))."""
        kept = self._channel.fileno(), self._within
        for descriptor in kept:
            if descriptor is not None:
                os.set_inheritable(descriptor, True)
        channel, within = kept
        script = RESUME.format(
            module=__name__, path=[ROOT, *sys.path], channel=channel, within=within, numbers=self._numbers
        )
        os.execv(sys.executable, [sys.executable, "-E", "-S", "-c", script])  # noqa: S606 - no shell is wanted

    def _do_exit(self) -> NoReturn:
        os._exit(0)


def resume(channel: int, within: int | None, numbers: dict[str, int]) -> NoReturn:
    """Continue as an actor after its execve."""
    left = {name: descriptor for name, descriptor in numbers.items() if _is_open(descriptor)}
    mine = socket.socket(fileno=channel)
    mine.send(json.dumps("ok").encode())
    Actor(mine, within, left).serve()


def _held(device: str, inode: int) -> set[ListedLock]:
    """Return the locks on a file that one look at the list shows."""
    return {lock for lock in listed_locks(f" {device}:{inode} ") if not lock.waits}


def _is_open(descriptor: int) -> bool:
    with suppress(OSError):
        os.fstat(descriptor)
        return True
    return False


def _go_on(_: int, __: FrameType | None) -> None:
    """Do nothing: as a handler, let the signal interrupt a waiting call and have no other effect."""
