"""Stages on which names, sizes or what is written are broken, each in one way."""

from __future__ import annotations

from lab.checking.oracle import Contents, Modelled, ModelStage
from lab.model.files import Inode
from lab.model.kernel import Kernel


class ExclOpensWhatIsThere(Kernel):
    def open(self, process: int, name: str, mode: str = "rw", how: str = "", *, close_on_exec: bool = False) -> int:
        return super().open(process, name, mode, "" if how == "excl" else how, close_on_exec=close_on_exec)


class MkdirMakesAgain(Kernel):
    def mkdir(self, name: str) -> None:
        self._names[name] = Inode()


class LinkReplaces(Kernel):
    def link(self, name: str, other: str) -> None:
        self._names[other] = self._names[name]


class LinksAreNotCounted(Kernel):
    def links(self, inode: Inode) -> int:
        return 1


class RenameLeavesTheOldName(Kernel):
    def rename(self, name: str, other: str) -> None:
        self._names[other] = self._names[name]


class RenameKeepsWhatIsThere(Kernel):
    def rename(self, name: str, other: str) -> None:
        self._names.setdefault(other, self._names.pop(name))


class RenameCopies(ModelStage):
    """Puts the bytes into the file that is there."""

    def _do_rename(self, actor: Modelled, name: str, other: str) -> None:
        names = self.kernel._names
        if other in names:
            moved = names.pop(name)
            self.contents.truncate(names[other], 0)
            self.contents.write(names[other], 0, self.contents.read(moved, 0, moved.size))
        else:
            super()._do_rename(actor, name, other)


class UnlinkEmptiesTheFile(ModelStage):
    def _do_unlink(self, actor: Modelled, name: str) -> None:
        inode = self.kernel._names.get(name)
        if inode:
            self.contents.truncate(inode, 0)
        super()._do_unlink(actor, name)


class TheLatestNameIsNotListed(Kernel):
    def names(self) -> list[str]:
        return super().names()[:-1]


class AppendsAtThePosition(ModelStage):
    def _do_append(self, actor: Modelled, name: str, text: str) -> None:
        self._file(actor, name).appends = False
        super()._do_append(actor, name, text)


class SizesAreRemembered(ModelStage):
    """Each actor is told the size that it saw first."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[tuple[int, int], str] = {}

    def _do_size(self, actor: Modelled, name: str) -> str:
        key = (actor.process, id(self._file(actor, name).inode))
        return self._sizes.setdefault(key, super()._do_size(actor, name))


class CutBytesComeBack(ModelStage):
    def __init__(self) -> None:
        super().__init__()
        self.contents = _Keeping()


class MappedPagesAreCopies(ModelStage):
    """What is stored stays in the mapping."""

    def __init__(self) -> None:
        super().__init__()
        self._stored: dict[str, str] = {}

    def _do_store(self, actor: Modelled, name: str, start: str, text: str) -> str:
        self._stored[start] = text
        return "ok"

    def _do_load(self, actor: Modelled, name: str, start: str, length: str) -> str:
        found = super()._do_load(actor, name, start, length)
        return found if found == "SIGBUS" else self._stored.get(start, found)


class SyncLosesData(ModelStage):
    def _do_sync(self, actor: Modelled, name: str) -> None:
        self.contents.truncate(self._file(actor, name).inode, 0)


class _Keeping(Contents):
    """Bytes that were cut off are there again when the file grows."""

    def __init__(self) -> None:
        super().__init__()
        self._cut: dict[int, bytes] = {}

    def truncate(self, inode: Inode, size: int) -> None:
        before = self.read(inode, 0, inode.size)
        super().truncate(inode, size)
        if size < len(before):
            self._cut[id(inode)] = before
        elif cut := self._cut.get(id(inode)):
            self.write(inode, len(before), cut[len(before) : size])
