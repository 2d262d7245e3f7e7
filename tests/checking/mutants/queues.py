"""Queues of waiters that are broken, each in one way."""

from __future__ import annotations

import errno
from collections.abc import Hashable

from lab.model.files import GRANTED, Answer
from lab.model.kernel import LockCall, LockQueue, RangeCall
from lab.model.record_locks import Record


class NeverWaits(LockQueue):
    def ask(self, process: int, call: LockCall, *, wait: bool) -> Answer:
        return super().ask(process, call, wait=False)


class WakesNobody(LockQueue):
    def wakeable(self) -> list[int]:
        return []


class WakesOneAtARelease(LockQueue):
    def __init__(self) -> None:
        super().__init__()
        self._forgotten: set[int] = set()

    def settle(self) -> None:
        awake = set(self.wakeable())
        super().settle()
        self._forgotten |= {*[process for process in self.wakeable() if process not in awake][1:]}

    def wakeable(self) -> list[int]:
        return [process for process in super().wakeable() if process not in self._forgotten]


class WakesTheLastComer(LockQueue):
    def wakeable(self) -> list[int]:
        return super().wakeable()[-1:]


class WakesAllAtOnce(LockQueue):
    """And each believes that it has got the lock."""

    woken = False

    def settle(self) -> None:
        super().settle()
        self.woken = self.woken or bool(super().wakeable())

    def wakeable(self) -> list[int]:
        return self.waiting() if self.woken else []

    def wake(self, process: int) -> Answer:
        self.discard(process)
        return GRANTED


class GrantsWakeNobody(LockQueue):
    """Not even the grant that downgrades."""

    def ask(self, process: int, call: LockCall, *, wait: bool) -> Answer:
        before = {call: call.on for call in self._calls.values()}
        answer = super().ask(process, call, wait=wait)
        for waiting, on in before.items():
            waiting.on = on
        return answer


class EightCanWait(LockQueue):
    def ask(self, process: int, call: LockCall, *, wait: bool) -> Answer:
        return super().ask(process, call, wait=wait and len(self._calls) < 8)


class ARefusedUpgradeLosesTheLock(LockQueue):
    def ask(self, process: int, call: LockCall, *, wait: bool) -> Answer:
        answer = super().ask(process, call, wait=wait)
        if answer.errno and isinstance(call, RangeCall):
            call.locks.release(call.owner, *call.span[:2])
        return answer


class _Ghosts(LockQueue):
    """Calls of nobody that take the lock as soon as it comes free."""

    def __init__(self) -> None:
        super().__init__()
        self.ghosts: list[LockCall] = []

    def settle(self) -> None:
        self.ghosts = [ghost for ghost in self.ghosts if ghost.take()]
        super().settle()


class InterruptedStaysQueued(_Ghosts):
    def interrupt(self, process: int) -> Answer:
        self.ghosts.append(self._calls[process])
        return super().interrupt(process)


class KilledStaysQueued(_Ghosts):
    def interrupt(self, process: int) -> Answer:
        del self._calls[process]
        self.settle()
        return Answer(errno.EINTR)

    def discard(self, process: int) -> None:
        if process in self._calls:
            self.ghosts.append(self._calls[process])
        super().discard(process)


class InterruptTellsEAGAIN(LockQueue):
    def interrupt(self, process: int) -> Answer:
        super().interrupt(process)
        return Answer(errno.EAGAIN)


class InterruptTooLateTellsEAGAIN(LockQueue):
    """Of one that could have had the lock already."""

    def interrupt(self, process: int) -> Answer:
        late = process in self.wakeable()
        return Answer(errno.EAGAIN) if super().interrupt(process) and late else Answer(errno.EINTR)


class InterruptEndsAllWaits(LockQueue):
    def interrupt(self, process: int) -> Answer:
        answer = super().interrupt(process)
        self._calls.clear()
        return answer


class InterruptGrants(LockQueue):
    def interrupt(self, process: int) -> Answer:
        super().interrupt(process)
        return GRANTED


class HoldersWhoWaitAreDeadlocked(LockQueue):
    """Whoever has a lock and waits for another one gets EDEADLK."""

    def _closes_ring(self, call: LockCall, blocker: Record) -> bool:
        return isinstance(call, RangeCall) and bool(call.locks.of(call.owner))


class ChainsAreDeadlocks(LockQueue):
    """Whoever waits for one who waits gets EDEADLK."""

    def _closes_ring(self, call: LockCall, blocker: Record) -> bool:
        return self._waits_for(blocker.owner) is not None


class EndlessSearch(LockQueue):
    """Rings of any length are noticed."""

    def _closes_ring(self, call: LockCall, blocker: Record) -> bool:
        owner: Hashable | None = blocker.owner
        while owner is not None and owner != call.owner:
            owner = self._waits_for(owner)
        return owner is not None


class OfdRingsAreNoticed(LockQueue):
    def _waits_for(self, owner: Hashable) -> Hashable | None:
        return next((call.on.owner for call in self._calls.values() if call.owner is owner and call.on), None)
