"""Step a process: make it do one thing at a time, see whether it is blocked on a lock, and end it.

Requests and answers are JSON values, so that a step is written as a call: `process.do("lock", 0, 8)`.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any, Self

from .blocked import SETTLED_S, LockWait
from .rpc import ChildRpc

LOOK_AGAIN_S = 0.0005


class SteppedProcess:
    """A process that performs one step after the other on request; it is forked now and killed with the block."""

    def __init__(self, perform: Callable[..., object]) -> None:
        """Fork the process. `perform` is called in it with the words of each step, and never returns None.

        Raises CannotRunError where there is no process available.
        """
        self._child = ChildRpc(lambda step: json.dumps(perform(*json.loads(step))).encode())
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    def do(self, *step: object) -> Any:
        """Return the result of a step that waits for no other process. Raises as `result`, and Unanswered."""
        return json.loads(self._child.ask(json.dumps(step).encode()))

    def begin(self, *step: object) -> None:
        """Begin a step; `result` returns its result."""
        self._child.send(json.dumps(step).encode())

    def result(self, timeout_s: float) -> Any:
        """Return the result of the step that was begun, None where there is none after that time.

        Raises Gone where the process ended, and CannotRunError where that was raised in it.
        """
        answer = self._child.answer(timeout_s)
        return None if answer is None else json.loads(answer)

    def try_step(self, *step: object, limit_s: float, settle_s: float = SETTLED_S) -> Any:
        """Begin a step and return its result, or None once it is blocked on a lock. Raises as `result`.

        Where the kernel does not say, it is blocked once it has slept for `settle_s`; in any case after `limit_s`.
        """
        wait = LockWait(self.pid)
        self.begin(*step)
        while (result := self.result(LOOK_AGAIN_S)) is None:
            if wait.is_blocked(settle_s) or wait.seconds > limit_s:
                return self.result(0)  # it may have ended just before it was looked at
        return result

    def stop(self) -> None:
        """Stop the process (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the process (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process (SIGKILL), if it lives: `result` says so."""
        self._child.kill()

    def end(self) -> None:
        """Kill the process, if it lives, and reap it."""
        self._child.end()
