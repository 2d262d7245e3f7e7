"""Stages on which files, mappings or signals are broken, each in one way."""

from __future__ import annotations

from lab.checking.oracle import Contents, Modelled, ModelStage
from lab.model.files import WRITE, Inode, Request


class _Releasing(ModelStage):
    """Takes the POSIX locks of an actor away."""

    def release(self, actor: Modelled) -> None:
        table = self.kernel._tables[actor.process]
        for each in table.descriptors.values():
            each.description.inode.ranges.drop(table)
        self.kernel._queue.settle()


class WritersKeepTheirLocks(ModelStage):
    """A close after a write releases nothing."""

    wrote = False

    def _do_write(self, actor: Modelled, name: str, start: str, text: str) -> str:
        self.wrote = True
        return super()._do_write(actor, name, start, text)

    def _do_close(self, actor: Modelled, name: str) -> None:
        if not self.wrote:
            super()._do_close(actor, name)


class TruncateReleases(_Releasing):
    def _do_truncate(self, actor: Modelled, name: str, size: str) -> str:
        self.release(actor)
        return super()._do_truncate(actor, name, size)


class CloseLosesData(ModelStage):
    def _do_close(self, actor: Modelled, name: str) -> None:
        if name in actor.numbers:
            self.contents.truncate(self._file(actor, name).inode, 0)
        super()._do_close(actor, name)


class WaitingSpoilsTheNextPage(ModelStage):
    def _do_waits(self, actor: Modelled) -> str:
        self.contents = _SpoiledPage(self.contents)
        return super()._do_waits(actor)


class NamesAreRemembered(ModelStage):
    """Each process finds under a name what it found there first, as long as it does not remove it."""

    def __init__(self) -> None:
        super().__init__()
        self._inodes: dict[tuple[int, str], Inode] = {}

    def _do_open(self, actor: Modelled, name: str, *words: str) -> str:
        names, seen = self.kernel._names, self._inodes.get((actor.process, name))
        now = names.get(name)
        if now and seen:
            names[name] = seen
        answer = super()._do_open(actor, name, *words)
        self._inodes[actor.process, name] = names[name]
        names[name] = now or names[name]
        return answer

    def _do_unlink(self, actor: Modelled, name: str) -> None:
        super()._do_unlink(actor, name)
        self._inodes.pop((actor.process, name), None)


class LocksAreMandatory(ModelStage):
    def _do_write(self, actor: Modelled, name: str, start: str, text: str) -> str:
        asked = Request(WRITE, int(start), len(text))
        if self.kernel.posix_get(actor.process, actor.number(name), asked).found:
            return "EAGAIN"
        return super()._do_write(actor, name, start, text)


class LockedFilesAreNotMapped(ModelStage):
    def _do_map(self, actor: Modelled, name: str, size: str, kind: str = "") -> str:
        return "EAGAIN" if self._file(actor, name).inode.ranges.records() else super()._do_map(actor, name, size, kind)


class EachLockIsListedTwice(ModelStage):
    def _do_listed(self, actor: Modelled, name: str) -> str:
        return str(2 * int(super()._do_listed(actor, name)))


class TheStoppedLoseTheirLocks(_Releasing):
    def _do_stopped(self, actor: Modelled) -> None:
        self.release(actor)


class TheContinuedLoseTheirLocks(_Releasing):
    def _do_continued(self, actor: Modelled) -> None:
        self.release(actor)


class NoSigbus(ModelStage):
    def __init__(self) -> None:
        super().__init__()
        self.contents = _Bottomless()


class SigbusKeepsTheLock(ModelStage):
    def _killed_by_sigbus(self, actor: Modelled) -> str:
        return "SIGBUS"


class AFullDiskReleases(_Releasing):
    def _do_write(self, actor: Modelled, name: str, start: str, text: str) -> str:
        answer = super()._do_write(actor, name, start, text)
        if answer == "EFBIG":
            self.release(actor)
        return answer


class NoLimitOfSize(ModelStage):
    def _do_limit(self, actor: Modelled, what: str, most: str) -> None:
        """Set none."""


class NoDescriptorReleases(_Releasing):
    def _do_open(self, actor: Modelled, name: str, *words: str) -> str:
        answer = super()._do_open(actor, name, *words)
        if answer == "EMFILE":
            self.release(actor)
        return answer


class _Bottomless(Contents):
    def reaches(self, inode: Inode, end: int) -> bool:
        return True


class _SpoiledPage(Contents):
    """The bytes of the second page are lost."""

    def __init__(self, contents: Contents) -> None:
        super().__init__()
        self._bytes = {key: content[:4096] + bytes(len(content[4096:])) for key, content in contents._bytes.items()}
