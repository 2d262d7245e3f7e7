"""Perform a program by real processes, on files of the directories under test."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGUSR1

from lab.checking.blame import OF_THE_SYSTEM, UNANSWERED, family_of
from lab.checking.language import DIRECTED, GET, NAME_CALLS, OPEN_MODES, SET, Call, Step
from lab.errors import CannotRunError
from lab.host.procfs import STOPPED
from lab.processes import note, note_hang, stops_held

from .actor import Ordered
from .controller import KILLED_S, OF_PROCESSES, Handle, Patience

SPOILING = frozenset({"limit", "exec", "last", "exit"})
"""Calls that change an actor for good: it cannot be used for the next program."""

CALL_S = 60.0
"""No call of an actor is waited for as long as this, because this process would itself seem to hang."""

SYSTEM_S = 20.0
"""A call that does not use the mount, such as execve, which starts an interpreter, is as slow as the machine."""

HEARD_MS = 20
LOOK_AGAIN_S = 0.0005
STARVED_S = 50.0
"""A waiter that is not woken within this time is starved, however many others were woken."""

WAITERS = ("waits", "returns", "interrupted")

NO_PROCESS = ("EAGAIN", "ENOMEM")
"""The errors of fork(2) where there may be no more processes."""


class RealStage:
    """The actors of one program."""

    def __init__(self, folders: Sequence[Path], take: Callable[[int], Handle], patience: Patience, prefix: str) -> None:
        self.names: set[str] = set()
        self._folders = folders
        self._take = take
        self._patience = patience
        self._prefix = prefix
        self._handles: dict[str, Handle] = {}
        self._gone: list[Handle] = []
        self._asked: dict[Handle, str] = {}
        """The lock that an actor asked for last, in a call that may wait, by its guarantee."""
        self._cast = 0

    @property
    def handles(self) -> list[Handle]:
        """Return all actors that take part or have taken part."""
        return [*self._handles.values(), *self._gone]

    @property
    def spread(self) -> bool:
        """Tell whether the actors are on several mounts, as on several hosts."""
        return len(self._folders) > 1

    def folder_of(self, actor: str) -> int:
        """Return the number of the mount that an actor is on."""
        return self._handles[actor].folder

    def pid_of(self, actor: str) -> int:
        """Return the process id of an actor."""
        return self._handles[actor].process.pid

    def perform(self, call: Call, expected: Sequence[str] = ("waits",)) -> str:
        """Make a call and return its result.

        A call that should not wait is given some time to end, a waiter that should be woken more (`Patience`); only a
        call that is `expected` to wait is soon reported as waiting.
        """
        observed = self._performed(call, expected)
        if observed.startswith(UNANSWERED):
            note_hang(f"{call} = {observed}")
        return observed

    def _performed(self, call: Call, expected: Sequence[str]) -> str:
        handle = self._handle(call.actor)
        note(f"{call}, on {self._folders[handle.folder]}", CALL_S)
        if call.verb in WAITERS and not handle.pending:
            return "does not wait"
        if call.verb == "waits":
            return self._named(handle.outcome(self._patience.settle_s(expected)))
        if call.verb in DIRECTED:
            directed: Callable[[Handle], str] = getattr(self, f"_{call.verb}")
            return directed(handle)
        if call.verb in ("fork", "clone"):
            return self._fork(handle, call)
        return self._named(self._call(handle, call, expected))

    def perform_all(self, steps: Sequence[Step], looks: Collection[int]) -> list[str]:
        """Have one actor make these calls, none of which is directed or names a holder; return their results.

        It ends with the first result that is not expected, unless the step is a look (by its number) that found data.
        """
        handle = self._handle(steps[0].call.actor)
        note(f"{steps[0].call} and more, on {self._folders[handle.folder]}", CALL_S)
        self._rest_again()
        calls = [
            Ordered(
                [step.call.verb, *self._words(handle, step.call)],
                list(step.expected),
                number in looks,
                step.call.may_wait,
                self._patience.settle_s(step.expected) if step.call.may_wait else handle.answer_s,
            )
            for number, step in enumerate(steps)
        ]
        for waiting in [step.call for step in steps if step.call.may_wait]:
            self._asked[handle] = family_of(waiting)
        results = handle.make_all(calls)
        if results[-1].startswith(UNANSWERED):
            note_hang(f"{steps[len(results) - 1].call} = {results[-1]}")
        return results

    def _call(self, handle: Handle, call: Call, expected: Sequence[str]) -> str:
        self._rest_again()
        handle.tell(call.verb, *self._words(handle, call))
        if call.verb in SPOILING:
            handle.fresh = False
        if call.may_wait:
            self._asked[handle] = family_of(call)
            return handle.outcome(self._patience.settle_s(expected))
        begun = time.monotonic()
        calls = len(call.args) - 1 if call.verb == "held" else 1
        limit_s = SYSTEM_S if call.verb in OF_THE_SYSTEM else calls * handle.answer_s
        answer = handle.answer(limit_s) or handle.silence(limit_s)
        if call.verb in GET or call.verb in SET:
            self._patience.answered_in(time.monotonic() - begun)
        return answer

    def first_back(self, names: Iterable[str], timeout_s: float) -> list[str]:
        """Return those of the waiting actors whose calls have ended, as soon as there is one; empty after that time."""
        deadline = time.monotonic() + timeout_s
        while not (back := [name for name in names if self._handles[name].has_answered()]):
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_AGAIN_S)
        return back

    def disturbed(self, names: Iterable[str]) -> list[str]:
        """Return those whose calls have ended, after all that sleep in the lock code of the kernel are asleep again."""
        return [name for name in names if not self._handles[name].sleeps_on()]

    def _handle(self, actor: str) -> Handle:
        if actor not in self._handles:
            with stops_held():  # each actor is known here before anything interrupts
                self._handles[actor] = self._take(self._cast % len(self._folders))
            self._cast += 1
        return self._handles[actor]

    def _fork(self, handle: Handle, call: Call) -> str:
        name = call.args[0]
        with stops_held():
            made = handle.fork(call.verb)
            if not isinstance(made, str):
                self._gone += [self._handles[name]] if name in self._handles else []
                self._handles[name] = made
                return "ok"
        if made in NO_PROCESS:
            raise CannotRunError(f"fork refused ({made}); raise the limit ({OF_PROCESSES})")
        return made

    def _words(self, handle: Handle, call: Call) -> tuple[str, ...]:
        """Return the arguments for the actor: the names of files in its folder, and defaults for what was left out."""
        if call.verb == "names":
            return (self._prefix,)
        if call.verb not in NAME_CALLS or call.verb == "links":
            return call.args
        if call.verb != "open":
            return tuple(map(self._file, call.args))
        name, *rest = call.args
        known, modes = (rest[1], rest[2:]) if rest[:1] == ["as"] else (name, rest)
        mode = next((word for word in modes if word in ("r", "w")), "rw")
        how = next((word for word in modes if word in OPEN_MODES), "")
        return self._file(name), known, mode, "cloexec" if "cloexec" in modes else "", how

    def _file(self, name: str) -> str:
        """Return the name that a file of this program has in the folder, to be removed after the program."""
        file = f"{self._prefix}{name}"
        self.names.add(file)
        return file

    def _named(self, outcome: str) -> str:
        """Return the outcome with the names of actors in place of their process ids."""
        what, by, who = outcome.partition(" by pid ")
        if not by:
            return outcome
        if int(who) < 0:
            return f"{what} by description"
        names = {handle.process.pid: actor for actor, handle in self._handles.items()}
        unknown = "somebody" if self.spread else f"pid {who}"
        return f"{what} by {names.get(int(who), unknown)}"

    def _rest_again(self) -> None:
        for handle in self._handles.values():
            handle.rest_again()

    def _killed(self, handle: Handle) -> str:
        handle.process.send(SIGKILL)
        self._rest_again()
        return "ok" if handle.ended(KILLED_S) == "SIGKILL" else handle.ended(0)

    def _stopped(self, handle: Handle) -> str:
        handle.process.send(SIGSTOP)
        return _reached(handle, stopped=True)

    def _continued(self, handle: Handle) -> str:
        handle.process.send(SIGCONT)
        return _reached(handle, stopped=False)

    def _interrupted(self, handle: Handle) -> str:
        handle.process.send(SIGUSR1)
        return self._named(handle.answer(handle.answer_s) or "waits")

    def _returns(self, handle: Handle) -> str:
        """Return its answer, or "waits" where it is too long since the wait began or since another was woken.

        Of many waiters each has to wait for those before it.
        """
        others = [each for each in self._handles.values() if each.pending and each is not handle]
        wake_s = self._patience.wake_s_of([self._asked[handle]] if handle in self._asked else ())
        begun = before = time.monotonic()
        while not (answer := handle.heard(HEARD_MS)):
            now = time.monotonic()
            back = [each for each in others if each.has_answered()]
            if back:
                others, before = [each for each in others if each not in back], now
            if now - before >= wake_s or now - begun >= STARVED_S:
                return "waits"
        return self._named(answer)


def _reached(handle: Handle, *, stopped: bool) -> str:
    return "ok" if handle.process.reaches(STOPPED, handle.answer_s, wanted=stopped) else handle.silence()
