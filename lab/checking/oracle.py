"""The oracle: a stage on which the model of the kernel performs calls, and so gives the right result of each.

Which of several waiting calls gets a lock that has become free is left open: `returns` lets the one run that the
program names, and before it those that end with their call.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.model.files import READ, UNLOCK, WRITE, Answer, Description, Inode, Request
from lab.model.kernel import Kernel

from .language import FLOCKS, GET, OPEN_MODES, SET, Call, errno_name, listed_names, number, range_of, shown, told

PAGE = 4096
"""The unit in which a mapping reaches beyond the end of its file (mmap(2))."""


class Contents:
    """The bytes of every file, by its inode; a file that was never written is empty."""

    def __init__(self) -> None:
        self._bytes: dict[int, bytearray] = {}

    def read(self, inode: Inode, start: int, length: int) -> bytes:
        """Return the bytes there, fewer or none where the file ends (pread(2))."""
        return bytes(self._of(inode)[start : start + length])

    def write(self, inode: Inode, start: int, data: bytes) -> None:
        """Put the bytes there; extend the file as far as they reach (pwrite(2))."""
        content = self._of(inode)
        content.extend(bytes(max(0, start + len(data) - len(content))))
        content[start : start + len(data)] = data
        inode.size = len(content)

    def truncate(self, inode: Inode, size: int) -> None:
        """Set the length of the file, with zeros where it grows (ftruncate(2))."""
        content = self._of(inode)
        content[:] = content[:size].ljust(size, b"\0")
        inode.size = size

    def reaches(self, inode: Inode, end: int) -> bool:
        """Tell whether a mapping can be accessed up to there: within the last page of the file; beyond it is SIGBUS."""
        return end <= -(-inode.size // PAGE) * PAGE

    def load(self, inode: Inode, start: int, length: int) -> bytes:
        """Return the bytes through a mapping: zeros after the end of the file."""
        return self.read(inode, start, length).ljust(length, b"\0")

    def store(self, inode: Inode, start: int, data: bytes) -> None:
        """Put the bytes there through a mapping, which does not extend the file."""
        self.write(inode, start, data[: max(0, inode.size - start)])

    def _of(self, inode: Inode) -> bytearray:
        return self._bytes.setdefault(id(inode), bytearray())


class PrivatePages:
    """The pages that a private mapping has stored to: from then on they are its own, and no longer the file's."""

    def __init__(self) -> None:
        self._own: dict[int, bytearray] = {}

    def load(self, contents: Contents, inode: Inode, start: int, length: int) -> bytes:
        """Return the bytes through the mapping: of its own pages, and of the file's as they are now."""
        pages = {place // PAGE: b"" for place in range(start, start + length)}
        whole = b"".join(bytes(self._own.get(page) or contents.load(inode, page * PAGE, PAGE)) for page in pages)
        return whole[start % PAGE :][:length]

    def store(self, contents: Contents, inode: Inode, start: int, data: bytes) -> None:
        """Put the bytes there, into pages that are copied before."""
        for place, byte in enumerate(data, start):
            page = place // PAGE
            if page not in self._own:
                self._own[page] = bytearray(contents.load(inode, page * PAGE, PAGE))
            self._own[page][place % PAGE] = byte


@dataclass(slots=True)
class Modelled:
    """One actor: its process, its descriptors (shared where its table is) and mappings by name, and its limits."""

    process: int
    numbers: dict[str, int] = field(default_factory=dict)
    mappings: dict[str, Inode] = field(default_factory=dict)
    private: dict[str, PrivatePages] = field(default_factory=dict)
    files: int | None = None
    size: int | None = None
    last: bool = False
    answer: str = ""

    def number(self, name: str) -> int:
        """Return the descriptor of that name; a name that was never opened has one that no process has."""
        return self.numbers.get(name, -1)


class ModelFiles:
    """The calls on files, each a method `_do_VERB` that takes the actor and the words of the call."""

    def __init__(self, kernel: Kernel | None = None) -> None:
        self.kernel = kernel or Kernel()
        self.contents = Contents()

    def _do_open(self, actor: Modelled, name: str, *words: str) -> str:
        known, modes = (words[1], words[2:]) if words[:1] == ("as",) else (name, words)
        if self._is_full(actor):
            return "EMFILE"
        mode = next((word for word in modes if word in ("r", "w")), "rw")
        how = next((word for word in modes if word in OPEN_MODES), "")
        actor.numbers[known] = self.kernel.open(actor.process, name, mode, how, close_on_exec="cloexec" in modes)
        return "ok"

    def _do_dup(self, actor: Modelled, name: str, _as: str, other: str) -> str:
        if self._is_full(actor):
            return "EMFILE"
        actor.numbers[other] = self.kernel.dup(actor.process, actor.number(name))
        return "ok"

    def _is_full(self, actor: Modelled) -> bool:
        return actor.files is not None and len(self.kernel.descriptors(actor.process)) >= actor.files

    def _do_close(self, actor: Modelled, name: str) -> None:
        self.kernel.close(actor.process, actor.numbers.pop(name, -1))

    def _do_unlink(self, _: Modelled, name: str) -> None:
        self.kernel.unlink(name)

    def _do_mkdir(self, _: Modelled, name: str) -> None:
        self.kernel.mkdir(name)

    def _do_rmdir(self, _: Modelled, name: str) -> None:
        self.kernel.unlink(name)

    def _do_link(self, _: Modelled, name: str, other: str) -> None:
        self.kernel.link(name, other)

    def _do_rename(self, _: Modelled, name: str, other: str) -> None:
        self.kernel.rename(name, other)

    def _do_links(self, actor: Modelled, name: str) -> str:
        return str(self.kernel.links(self._file(actor, name).inode))

    def _do_names(self, _: Modelled) -> str:
        return listed_names(self.kernel.names())

    def _do_seek(self, actor: Modelled, name: str, position: str) -> None:
        self._file(actor, name).position = number(position)

    def _do_limit(self, actor: Modelled, what: str, most: str) -> None:
        if what == "files":
            actor.files = len(self.kernel.descriptors(actor.process)) + int(most)
        else:
            actor.size = int(most)

    def _do_write(self, actor: Modelled, name: str, start: str, text: str) -> str:
        file = self._file(actor, name)
        if not file.writable:
            return "EBADF"
        if actor.size is not None and int(start) >= actor.size:
            return "EFBIG"
        self.contents.write(file.inode, int(start), text.encode()[: actor.size and actor.size - int(start)])
        return "ok"

    def _do_read(self, actor: Modelled, name: str, start: str, length: str) -> str:
        file = self._file(actor, name)
        return shown(self.contents.read(file.inode, int(start), int(length))) if file.readable else "EBADF"

    def _do_append(self, actor: Modelled, name: str, text: str) -> None:
        file = self._file(actor, name)
        start = file.inode.size if file.appends else file.position
        self.contents.write(file.inode, start, text.encode())
        file.position = start + len(text)

    def _do_sync(self, _: Modelled, name: str) -> None:
        """Do nothing: there is no other copy of the bytes."""

    def _do_size(self, actor: Modelled, name: str) -> str:
        return str(self._file(actor, name).inode.size)

    def _do_truncate(self, actor: Modelled, name: str, size: str) -> str:
        if actor.size is not None and int(size) > actor.size:
            return "EFBIG"
        self.contents.truncate(self._file(actor, name).inode, int(size))
        return "ok"

    def _do_map(self, actor: Modelled, name: str, _: str, kind: str = "") -> str:
        file = self._file(actor, name)
        if not (file.readable and (file.writable or kind == "private")):
            return "EACCES"
        actor.mappings[name] = file.inode
        actor.private.pop(name, None)
        if kind == "private":
            actor.private[name] = PrivatePages()
        return "ok"

    def _do_load(self, actor: Modelled, name: str, start: str, length: str) -> str:
        inode = actor.mappings[name]
        if not self.contents.reaches(inode, int(start) + int(length)):
            return self._killed_by_sigbus(actor)
        own = actor.private.get(name)
        args = (inode, int(start), int(length))
        return shown(own.load(self.contents, *args) if own else self.contents.load(*args))

    def _do_store(self, actor: Modelled, name: str, start: str, text: str) -> str:
        inode = actor.mappings[name]
        if not self.contents.reaches(inode, int(start) + len(text)):
            return self._killed_by_sigbus(actor)
        own = actor.private.get(name)
        if own:
            own.store(self.contents, inode, int(start), text.encode())
        else:
            self.contents.store(inode, int(start), text.encode())
        return "ok"

    def _do_msync(self, _: Modelled, name: str) -> None:
        """Do nothing: there is no other copy of the bytes."""

    def _do_unmap(self, actor: Modelled, name: str) -> None:
        del actor.mappings[name]

    def _killed_by_sigbus(self, actor: Modelled) -> str:
        self.kernel.exit(actor.process)
        return "SIGBUS"

    def _file(self, actor: Modelled, name: str) -> Description:
        return self.kernel.description(actor.process, actor.number(name))


CALLS = {
    "F_SETLK": ("posix_set", False),
    "F_SETLKW": ("posix_set", True),
    "F_OFD_SETLK": ("ofd_set", False),
    "F_OFD_SETLKW": ("ofd_set", True),
    "F_GETLK": ("posix_get", False),
    "F_OFD_GETLK": ("ofd_get", False),
}
"""The method of the model, and whether it may wait."""


class ModelStage(ModelFiles):
    """A stage that performs calls on a `Kernel`; `perform` gives each result in words (`lab.checking.language`)."""

    def __init__(self, kernel: Kernel | None = None) -> None:
        super().__init__(kernel)
        self._actors: dict[str, Modelled] = {}

    def perform(self, call: Call, _expected: Sequence[str] = ()) -> str:
        """Return the result of the call. Raise ValueError for a call that makes no sense here."""
        if call.actor not in self._actors:
            self.kernel.start(self._cast(call.actor).process)
        try:
            return self._perform(self._actors[call.actor], call.verb, call.args)
        except OSError as error:
            return errno_name(error.errno or errno.EIO)

    def wakeable(self) -> list[str]:
        """Return the actors that wait and whose call could end now; which of them comes first is left open."""
        ready = self.kernel.wakeable()
        return [name for name, actor in self._actors.items() if actor.process in ready]

    def is_in_a_ring(self, name: str) -> bool:
        """Tell whether EDEADLK would be right for an actor that waits."""
        return self.kernel.is_in_a_ring(self._actors[name].process)

    def in_the_way(self, call: Call) -> list[str]:
        """Return every answer that names a holder in conflict with the request of F_GETLK or F_OFD_GETLK."""
        actor = self._actors[call.actor]
        asked = (actor.process, actor.number(call.args[0]), Request(*range_of(call.args[1:])))
        return [self._found(found) for found in self.kernel.in_the_way(*asked, ofd=call.verb == "F_OFD_GETLK")]

    def _cast(self, name: str) -> Modelled:
        actor = self._actors[name] = Modelled(len(self._actors) + 1)
        return actor

    def _perform(self, actor: Modelled, verb: str, args: tuple[str, ...]) -> str:
        if verb in SET or verb in GET:
            return self._lock(actor, verb, args)
        method: Callable[..., str | None] | None = getattr(self, f"_do_{verb}", None)
        if method is None:
            raise ValueError(f"no call {verb}")
        return method(actor, *args) or "ok"

    def _do_thread(self, actor: Modelled, verb: str, *args: str) -> str:
        return self._perform(actor, verb, args)

    def _do_last(self, actor: Modelled, verb: str, *args: str) -> str:
        actor.last = True
        return self._ended(actor, self._perform(actor, verb, args))

    # Locks

    def _lock(self, actor: Modelled, verb: str, args: tuple[str, ...]) -> str:
        if verb not in CALLS:
            self.kernel.description(actor.process, actor.number(args[0]))
            return "EINVAL"
        method, waits = CALLS[verb]
        request = Request(*range_of(args[1:]))
        if verb in GET:
            return self._found(getattr(self.kernel, method)(actor.process, actor.number(args[0]), request))
        return _said(getattr(self.kernel, method)(actor.process, actor.number(args[0]), request, wait=waits))

    def _do_held(self, actor: Modelled, name: str, *places: str) -> str:
        return " ".join(self._held_at(actor, name, number(place)) for place in places)

    def _held_at(self, actor: Modelled, name: str, place: int) -> str:
        for kind, found in ((WRITE, "free"), (READ, "read")):
            asked = (actor.process, actor.number(name))
            if not self.kernel.posix_set(*asked, Request(kind, place, 1)).errno:
                self.kernel.posix_set(*asked, Request(UNLOCK, place, 1))
                return found
        return "write"

    def _found(self, answer: Answer) -> str:
        if answer.errno:
            return errno_name(answer.errno)
        if answer.found is None:
            return "free"
        pid, (start, length, write) = answer.found
        return told("write" if write else "read", start, length, self._who(pid))

    def _who(self, pid: int) -> str:
        names = {actor.process: name for name, actor in self._actors.items()}
        return names.get(pid, "description" if pid < 0 else f"pid {pid}")

    def _do_flock(self, actor: Modelled, name: str, kind: str, wait: str = "") -> str:
        operation = FLOCKS[kind] if kind in FLOCKS else int(kind)
        return _said(self.kernel.flock(actor.process, actor.number(name), operation, wait=bool(wait)))

    def _do_listed(self, actor: Modelled, name: str) -> str:
        inode = self._file(actor, name).inode
        return str(len(inode.ranges.records()) + len(inode.whole.owners()))

    # Waiting

    def _do_waits(self, actor: Modelled) -> str:
        if actor.process in self.kernel.wakeable():
            return self._woken(actor)
        return "waits" if actor.process in self.kernel.waiting() else "does not wait"

    def _do_returns(self, actor: Modelled) -> str:
        while not actor.answer and actor.process not in self.kernel.wakeable() and (other := self._next_to_end()):
            other.answer = self._woken(other)
        return actor.answer or self._do_waits(actor)

    def _next_to_end(self) -> Modelled | None:
        wakeable = self.kernel.wakeable()
        return next((actor for actor in self._actors.values() if actor.last and actor.process in wakeable), None)

    def _woken(self, actor: Modelled) -> str:
        return self._ended(actor, _said(self.kernel.wake(actor.process)))

    def _ended(self, actor: Modelled, answer: str) -> str:
        """Return the answer to a call; remove the actor if this call was its last."""
        if actor.last and answer == "granted":
            self.kernel.exit(actor.process)
        return answer

    def _do_interrupted(self, actor: Modelled) -> str:
        if actor.process not in self.kernel.waiting():
            return "does not wait"
        return _said(self.kernel.interrupt(actor.process))

    # Processes

    def _do_fork(self, actor: Modelled, child: str) -> None:
        made = self._cast(child)
        made.numbers, made.files, made.size = dict(actor.numbers), actor.files, actor.size
        self.kernel.fork(actor.process, made.process)

    def _do_clone(self, actor: Modelled, child: str) -> None:
        made = self._cast(child)
        made.numbers, made.files, made.size = actor.numbers, actor.files, actor.size
        self.kernel.fork(actor.process, made.process, share_table=True)

    def _do_exec(self, actor: Modelled) -> None:
        self.kernel.execve(actor.process)
        left = self.kernel.descriptors(actor.process)
        actor.numbers = {name: made for name, made in actor.numbers.items() if made in left}
        actor.mappings.clear()

    def _do_exit(self, actor: Modelled) -> None:
        self.kernel.exit(actor.process)

    _do_killed = _do_exit

    def _do_stopped(self, actor: Modelled) -> None:
        """Stop it: it makes no call until it is continued, and keeps what it has."""

    _do_continued = _do_stopped


def _said(answer: Answer) -> str:
    if answer.waits:
        return "waits"
    return errno_name(answer.errno) if answer.errno else "granted"
