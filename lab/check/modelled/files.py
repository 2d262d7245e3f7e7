"""What the actors of the model's stage do with files, beside locking them."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.model.files import Description, Inode
from lab.model.kernel import Kernel

from ..language import number, shown
from .contents import Contents, PrivatePages


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
        """The descriptor of that name, one that nobody has for a name that was never opened."""
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
        actor.numbers[known] = self.kernel.open(actor.process, name, mode, close_on_exec="cloexec" in modes)
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

    def _killed_by_sigbus(self, actor: Modelled) -> str:
        self.kernel.exit(actor.process)
        return "SIGBUS"

    def _file(self, actor: Modelled, name: str) -> Description:
        return self.kernel.description(actor.process, actor.number(name))
