"""Perform the programs of a check on several hosts: each actor and its controller are on one of them.

The pool and the stage are those of a check on this machine; an actor is asked by the link to its host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import Any

from lab.checking.actors.actor import Ordered
from lab.checking.actors.controller import ANSWER_S, Patience
from lab.checking.actors.pool import ActorPool
from lab.checking.actors.stage import RealStage
from lab.checking.mounts import PROBE_S

from .links import HostError, Link

OF_A_DESCRIPTION = -1
"""The process that F_GETLK names for a lock of an open file description (fcntl(2))."""


class HostKeeper:
    """The keeper of one host, asked for one piece of work after the other; one that failed is asked nothing more."""

    def __init__(self, name: str, link: Link, timeout_s: float) -> None:
        self.name = name
        self.failed: HostError | None = None
        self.link = link
        self._timeout_s = timeout_s

    def ask(self, do: str, more_s: float = 0.0, **arguments: object) -> dict[str, Any]:
        """Return what the work returned; it may take `more_s` beyond the time of an answer. Raises HostError."""
        if self.failed:
            raise self.failed
        try:
            self.link.ask(do, **arguments)
            return self.link.answer(self._timeout_s + more_s)
        except HostError as error:
            self.failed = error
            raise

    def ask_last(self, do: str, key: str, **arguments: object) -> dict[str, Any]:
        """Ask after an interruption: answers to what was asked before it, which have no such key, are dropped.

        Raises HostError.
        """
        self.link.ask(do, **arguments)
        while key not in (answer := self.link.answer(self._timeout_s)):
            pass
        return answer


class FarProcess:
    """The process of an actor, by the controller beside it."""

    def __init__(self, handle: FarHandle, pid: int) -> None:
        self.pid = pid
        self._handle = handle

    def send(self, number: Signals) -> None:
        """Send it a signal."""
        self._handle.ask("send", int(number))

    def wait(self, timeout_s: float) -> int | None:
        """Return its exit code, or minus the signal that ended it; None where it lives on after that time."""
        code: int | None = self._handle.ask("wait", timeout_s, more_s=timeout_s)
        return code

    def sleeps_in(self) -> str:
        """Return the kernel's function in which it sleeps."""
        return str(self._handle.ask("sleeps_in"))

    def reaches(self, letter: str, timeout_s: float, *, wanted: bool) -> bool:
        """Wait until it is, or no longer is, in that state; return False after that time."""
        return bool(self._handle.ask("reaches", letter, timeout_s, wanted, more_s=timeout_s))


class FarHandle:
    """One actor on another host, as `lab.checking.actors.controller.Handle` has it.

    What needs no answer is sent with what is asked next.
    """

    def __init__(self, keeper: HostKeeper, number: int, pid: int, folder: int) -> None:
        self.folder = folder
        self.answer_s = ANSWER_S
        self.fresh = True
        self.pending = False
        self.process = FarProcess(self, pid)
        self._keeper = keeper
        self._number = number
        self._unsent: list[tuple[str, tuple[object, ...]]] = []

    def ask(self, method: str, *arguments: object, more_s: float = 0.0) -> Any:
        """Return what the method of its controller returns. Raises HostError."""
        steps, self._unsent = [*self._unsent, (method, arguments)], []
        told = self._keeper.ask(
            "check.direct", more_s + self.answer_s, number=self._number, steps=steps, answer_s=self.answer_s
        )
        self.fresh, self.pending = self.fresh and told["fresh"], told["waits"]
        return told["value"]

    def tell(self, *command: str) -> None:
        """Send it a call to make."""
        self._unsent.append(("tell", command))
        self.pending = True

    def rest_again(self) -> None:
        """Forget how long it has slept."""
        if self.pending:
            self._unsent.append(("rest_again", ()))

    def fork(self, verb: str) -> FarHandle | str:
        """Make it fork or clone a child: return the child, or the answer where there is none."""
        made = self.ask("fork", verb)
        if isinstance(made, str):
            return made
        child = FarHandle(self._keeper, made[0], made[1], self.folder)
        child.fresh, child.answer_s = False, self.answer_s
        return child

    def make_all(self, calls: Sequence[Ordered]) -> list[str]:
        """Have it make these calls, one after the other; return their results, up to the first that ends it."""
        results: list[str] = self.ask("make_all", calls, more_s=sum(call.limit_s for call in calls))
        return results

    def answer(self, timeout_s: float) -> str | None:
        """Return the result of the call; None after that time."""
        found: str | None = self.ask("answer", timeout_s, more_s=max(0.0, timeout_s))
        return found

    def outcome(self, settle_s: float) -> str:
        """Return the answer to a call that may wait, or "waits", or that nothing is known."""
        return str(self.ask("outcome", settle_s, more_s=settle_s))

    def heard(self, timeout_ms: int) -> str | None:
        """Return the answer, if it comes within that time."""
        found: str | None = self.ask("heard", timeout_ms)
        return found

    def has_answered(self) -> bool:
        """Tell whether there is an answer."""
        return bool(self.ask("has_answered"))

    def sleeps_on(self) -> bool:
        """Tell whether it still sleeps in its call."""
        return bool(self.ask("sleeps_on"))

    def silence(self, after_s: float = 0.0) -> str:
        """Return the description of a call without an answer."""
        return str(self.ask("silence", after_s))

    def ended(self, timeout_s: float) -> str:
        """Return "ok" or the name of the signal, after it has ended."""
        return str(self.ask("ended", timeout_s, more_s=timeout_s))

    def close(self) -> None:
        """Forget it."""
        self._unsent = []
        self._keeper.ask("check.close", number=self._number)


class HostStage(RealStage):
    """The actors of one program, on several hosts."""

    def _named(self, outcome: str) -> str:
        """Return the outcome with the name of an actor in place of its process id, where only one can be meant."""
        what, by, who = outcome.partition(" by pid ")
        if not by:
            return outcome
        if int(who) == OF_A_DESCRIPTION:
            return f"{what} by description"
        meant = [actor for actor, handle in self._handles.items() if handle.process.pid == int(who)]
        return f"{what} by {meant[0] if len(meant) == 1 else 'somebody'}"


class HostPool(ActorPool):
    """The actors of a check on several hosts; `folders` has a place for each, named after its host."""

    def __init__(self, keepers: Mapping[str, HostKeeper], folder: str, patience: Patience | None = None) -> None:
        super().__init__([Path(f"{name}:{folder}") for name in keepers])
        self.keepers = list(keepers.values())
        if patience:
            self.patience, self._measured = patience, True

    def __enter__(self) -> HostPool:
        return self

    @property
    def known_patience(self) -> Patience | None:
        """Return the limits, if hand-offs were measured."""
        return self.patience if self._measured else None

    def is_local(self) -> bool:
        """Return False: a server answers for a filesystem that several hosts share."""
        return False

    def dead(self) -> list[int]:
        """Return the hosts, by number, on which the mount does not answer any more."""
        said = [keeper.ask("check.answers", PROBE_S) for keeper in self.keepers]
        return [number for number, each in enumerate(said) if not each["answers"]]

    def _at(self, folder: int) -> str:
        return f" on {self.keepers[folder].name}"

    def _stage(self, prefix: str) -> RealStage:
        return HostStage(self.folders, self.take, self.patience, prefix)

    def _forked(self, folder: int) -> FarHandle:
        made = self.keepers[folder].ask("check.start", answer_s=self.patience.answer_s)
        return FarHandle(self.keepers[folder], made["number"], made["pid"], folder)
