"""A program of the tour as a process of its own, stepped one call at a time; what it came to is an observation.

The tour itself maps nothing and touches no mapping: what kills, kills one of these.
"""

from __future__ import annotations

import json
import os
from dataclasses import astuple
from pathlib import Path
from types import TracebackType

from lab.processes.blocked import SETTLED_S, LockWait
from lab.processes.rpc import ChildRpc, Gone
from lab.records import Observation

from . import calls
from .calls import Call, performed, risked
from .calls.call import Program, how_it_ended

ANSWER_S = 10.0
"""A call that takes longer is said not to have been answered."""

LOOK_AGAIN_S = 0.0005

WAITS = "waits"


def observation(call: str, expected: str, observed: str) -> Observation:
    """It is as expected where it is one of what "X or Y" expects."""
    return Observation(call, expected, observed, observed in expected.split(" or "))


class Process:
    """The process that runs the program, on this file; it ends with the block."""

    def __init__(self, path: Path, name: str = "") -> None:
        self._name = name
        self._program = Program(str(path))
        self._child = ChildRpc(self._respond)
        self._at_once: str | None = None
        self.pid = self._child.pid

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.end()

    def do(self, call: Call) -> str:
        """What the call comes to, where that is no observation of its own."""
        self._begin(call)
        return self._answered()

    def does(self, call: Call, expected: str = calls.WORKS) -> Observation:
        """Make the call there."""
        return observation(f"{self._mark()}{call}", expected, self.do(call))

    def risks(self, call: Call, expected: str, *, who: str = "") -> Observation:
        """Make the call in a child that the process forks for it: the memory is the same, and only the child dies."""
        self._begin(call, forked=True)
        return observation(f"{self._mark(who)}{call}", expected, self._answered())

    def begins(self, call: Call) -> Observation:
        """Begin a call that is to wait: "waits" once it is blocked on a lock, else its result."""
        wait = LockWait(self.pid)
        self._begin(call)
        self._at_once = self._end(LOOK_AGAIN_S)
        while self._at_once is None and not wait.is_blocked(SETTLED_S) and wait.seconds < ANSWER_S:
            self._at_once = self._end(LOOK_AGAIN_S)
        return observation(f"{self._mark()}{call}", WAITS, self._at_once or WAITS)

    def goes_on(self, expected: str = calls.WORKS) -> Observation:
        """What the call came to that was begun, now that it need not wait any more."""
        return observation(f"{self._mark()}the call that waited", expected, self._at_once or self._answered())

    def exits(self) -> Observation:
        """End it as exit(3) does, with what it has mapped, opened and locked."""
        return observation(f"{self._mark()}exit(0)", "exit 0", self._ended())

    def _ended(self) -> str:
        self._child.send(b"exit")
        try:
            self._child.answer(ANSWER_S)
        except Gone as gone:
            return how_it_ended(gone.code)
        return "lives on"

    def _mark(self, who: str = "") -> str:
        return f"{who or self._name}: " if who or self._name else ""

    def _begin(self, call: Call, *, forked: bool = False) -> None:
        name = type(call).__name__
        self._child.send(json.dumps([name, forked, *astuple(call)]).encode())  # type: ignore[call-overload]

    def _answered(self) -> str:
        """What the call comes to; a process that does not answer is given up."""
        came_to = self._end(ANSWER_S)
        if came_to is None:
            self._child.kill()
        return came_to or f"no answer within {ANSWER_S:g} s"

    def _end(self, timeout_s: float) -> str | None:
        try:
            answer = self._child.answer(timeout_s)
        except Gone as gone:
            return how_it_ended(gone.code)
        return None if answer is None else answer.decode()

    def _respond(self, question: bytes) -> bytes:
        """In the process itself: make the call that is asked for."""
        if question == b"exit":
            os._exit(0)
        name, forked, *numbers = json.loads(question)
        call: Call = getattr(calls, name)(*numbers)
        return (risked if forked else performed)(call, self._program).encode()
