"""Kernels that mistake whose a lock is, or when it goes, each in one way; and flocks that are broken."""

from __future__ import annotations

from collections.abc import Hashable

from lab.model.files import UNLOCK, Answer, Description, Request
from lab.model.kernel import Kernel
from lab.model.record_locks import WholeFileLock


class OwnersAreDescriptors(Kernel):
    """A POSIX lock is that of the descriptor."""

    def posix_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        return self.ofd_set(process, number, request._replace(pid=0), wait=wait)


class OfdOwnersAreProcesses(Kernel):
    def ofd_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        return self.posix_set(process, number, request, wait=wait)


class TheLastCloseReleases(Kernel):
    """A close keeps the POSIX locks while the process has the file open elsewhere."""

    def close(self, process: int, number: int) -> None:
        table, inode = self._table(process), self.description(process, number).inode
        held = inode.ranges.of(table)
        super().close(process, number)
        if any(each.description.inode is inode for each in table.descriptors.values()):
            for record in held:
                inode.ranges.grant(table, record.span)


class AnyCloseReleasesEverywhere(Kernel):
    def close(self, process: int, number: int) -> None:
        table = self._table(process)
        for each in table.descriptors.values():
            each.description.inode.ranges.drop(table)
        super().close(process, number)


class AnyCloseReleasesOfd(Kernel):
    def close(self, process: int, number: int) -> None:
        description = self.description(process, number)
        super().close(process, number)
        description.inode.ranges.drop(description)


class AnyCloseReleasesFlock(Kernel):
    def close(self, process: int, number: int) -> None:
        description = self.description(process, number)
        super().close(process, number)
        description.inode.whole.release(description)


class CloseReleasesNothing(Kernel):
    def close(self, process: int, number: int) -> None:
        table, inode = self._table(process), self.description(process, number).inode
        held = inode.ranges.of(table)
        super().close(process, number)
        for record in held:
            inode.ranges.grant(table, record.span)


class ChildrenAreTheirParents(Kernel):
    def fork(self, parent: int, child: int, *, share_table: bool = False) -> None:
        super().fork(parent, child, share_table=True)


class ClonesAreTheirOwn(Kernel):
    def fork(self, parent: int, child: int, *, share_table: bool = False) -> None:
        super().fork(parent, child)


class TheEndOfAChildReleases(Kernel):
    """As if every exit closed the files of the process that it was forked from."""

    def __init__(self) -> None:
        super().__init__()
        self._parents: dict[int, int] = {}

    def fork(self, parent: int, child: int, *, share_table: bool = False) -> None:
        super().fork(parent, child, share_table=share_table)
        self._parents[child] = parent

    def exit(self, process: int) -> None:
        super().exit(process)
        if table := self._tables.get(self._parents.get(process, 0)):
            for each in table.descriptors.values():
                each.description.inode.ranges.drop(table)


class ExecReleases(Kernel):
    def execve(self, process: int) -> None:
        super().execve(process)
        table = self._table(process)
        for each in table.descriptors.values():
            each.description.inode.ranges.drop(table)


class ExecKeepsEverything(Kernel):
    def execve(self, process: int) -> None:
        """Close nothing."""


class TheDeadKeepTheirLocks(Kernel):
    def exit(self, process: int) -> None:
        self._queue.discard(process)
        del self._tables[process]


class DeathWakesNobody(Kernel):
    def exit(self, process: int) -> None:
        before = {call: call.on for call in self._queue._calls.values()}
        super().exit(process)
        for call, on in before.items():
            call.on = on


class UnlinkKeepsTheFile(Kernel):
    def unlink(self, name: str) -> None:
        """Forget to."""


class UnlockUnlocksFlocksToo(Kernel):
    def posix_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        if request.kind == UNLOCK:
            self.flock(process, number, UNLOCK)
        return super().posix_set(process, number, request, wait=wait)


class FlockUnlocksRangesToo(Kernel):
    def flock(self, process: int, number: int, kind: int, *, wait: bool = False) -> Answer:
        if kind == UNLOCK:
            self.posix_set(process, number, Request(UNLOCK))
        return super().flock(process, number, kind, wait=wait)


class FlocksGoWithTheProcess(Kernel):
    """Whoever else has the descriptor."""

    def exit(self, process: int) -> None:
        descriptions = [each.description for each in self._tables[process].descriptors.values()]
        super().exit(process)
        for each in descriptions:
            each.inode.whole.release(each)


class FlocksAreOfProcesses(Kernel):
    """All opens of a file in one process are one owner."""

    def flock(self, process: int, number: int, kind: int, *, wait: bool = False) -> Answer:
        inode = self.description(process, number).inode
        found = [n for n, each in self._table(process).descriptors.items() if each.description.inode is inode]
        return super().flock(process, min(found), kind, wait=wait)


class FlockGrantsEverything(WholeFileLock):
    def conflict(self, owner: Hashable, write: bool) -> Hashable | None:
        return None


class FlockSharesNothing(WholeFileLock):
    def conflict(self, owner: Hashable, write: bool) -> Hashable | None:
        return super().conflict(owner, True)


class FlockReadersPassWriters(WholeFileLock):
    def conflict(self, owner: Hashable, write: bool) -> Hashable | None:
        return super().conflict(owner, write) if write else None


class FlockUpgradesAreAtomic(WholeFileLock):
    def request(self, owner: Hashable, write: bool) -> Hashable | None:
        held = self.holds(owner)
        blocker = super().request(owner, write)
        if blocker is not None and held is not None:
            self.grant(owner, held)
        return blocker


class FlockUnlocksNothing(WholeFileLock):
    def release(self, owner: Hashable) -> None:
        if isinstance(owner, Description) and not owner.references:
            super().release(owner)
