"""The stage on which the model of the kernel performs: what each call ought to come to.

Which of several waiting calls gets a lock that has come free is left open; `returns` lets the one run that the
program names, and before it those that end with their call.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from lab.model.kernel import Kernel
from lab.model.requests import READ, UNLOCK, WRITE, Answer, Request

from ..language import FLOCKS, GET, SET, Call, errno_name, number, range_of, told
from .files import ModelFiles, Modelled

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
    """Performs calls on a `Kernel`; `perform` gives what each comes to, in words (`lab.check.language`)."""

    def __init__(self, kernel: Kernel | None = None) -> None:
        super().__init__(kernel)
        self._actors: dict[str, Modelled] = {}

    def perform(self, call: Call, _expected: Sequence[str] = ()) -> str:
        """What the call comes to. Raises ValueError for a call that makes no sense here."""
        if call.actor not in self._actors:
            self.kernel.start(self._cast(call.actor).process)
        try:
            return self._perform(self._actors[call.actor], call.verb, call.args)
        except OSError as error:
            return errno_name(error.errno or errno.EIO)

    def wakeable(self) -> list[str]:
        """The actors that wait and whose call could end now; which of them comes first is left open."""
        ready = self.kernel.wakeable()
        return [name for name, actor in self._actors.items() if actor.process in ready]

    def is_in_a_ring(self, name: str) -> bool:
        """True where EDEADLK would be right for an actor that waits."""
        return self.kernel.is_in_a_ring(self._actors[name].process)

    def in_the_way(self, call: Call) -> list[str]:
        """Every answer that names a holder in the way of what F_GETLK or F_OFD_GETLK asks for."""
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
        """The answer to a call; an actor whose last one it was is gone."""
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
        """It makes no call until it is continued, and keeps what it has."""

    _do_continued = _do_stopped


def _said(answer: Answer) -> str:
    if answer.waits:
        return "waits"
    return errno_name(answer.errno) if answer.errno else "granted"
