"""Something that may hang, done in a child with a deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from signal import SIGKILL

from lab.errors import CannotRunError

from .child import detach_output, fork_child, stops_held
from .watched import Watched

LONGEST = 4096
"""Bytes of an answer: a pipe takes so much at once."""

KILLED_S = 0.5
"""A process that lives on for so long after SIGKILL sleeps uninterruptibly: it is left behind."""

TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it came out: `answer` is what the child returned, None where it did not end well or in time.

    One that was late slept at `where`, the function of the kernel. It is `left` behind where SIGKILL does not end it.
    """

    answer: str | None
    late: bool = False
    pid: int = 0
    where: str = ""
    left: bool = False


def attempt_all(
    bodies: Sequence[Callable[[], str]], limit_s: float, given_up: Callable[[], bool] = lambda: False
) -> list[Attempt]:
    """Run each in a child of its own, all at once; each is killed after so many seconds, or once it is given up.

    Raises CannotRunError where fork(2) is refused.
    """
    deadline = time.monotonic() + limit_s
    running: list[_Running] = []
    try:
        for body in bodies:
            with stops_held():  # who has been forked is known here before anybody is interrupted
                running.append(_Running(body))
        for each in running:
            while each.process.wait(TICK_S) is None and time.monotonic() < deadline and not given_up():
                pass
        return [each.outcome() for each in running]
    except OSError as error:
        raise CannotRunError(f"fork refused ({error.strerror}); raise the limits (ulimit -u, -n)") from error
    finally:
        with stops_held():
            for each in running:
                each.end()


class _Running:
    """One child, and the pipe that its answer comes by."""

    def __init__(self, body: Callable[[], str]) -> None:
        self._answers, answers = os.pipe()

        def live() -> None:
            detach_output()
            os.write(answers, body().encode(errors="surrogateescape")[:LONGEST])

        try:
            pid = fork_child(live, group=0)
            try:
                self.process = Watched(pid)
            except OSError:
                os.kill(pid, SIGKILL)
                raise
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(answers)
        self._outcome: Attempt | None = None

    def outcome(self) -> Attempt:
        """How it came out; where it has not ended, it is killed."""
        if self._outcome is None:
            code = self.process.wait(0)
            if code is None:
                where = self.process.sleeps_in()
                self.process.send(SIGKILL)
                left = self.process.wait(KILLED_S) is None
                self._outcome = Attempt(None, late=True, pid=self.process.pid, where=where, left=left)
            else:
                answer = None if code else os.read(self._answers, LONGEST).decode(errors="surrogateescape")
                self._outcome = Attempt(answer, pid=self.process.pid)
        return self._outcome

    def end(self) -> None:
        """Kill it where it lives, and give back what this process has of it."""
        self.outcome()
        self.process.close()
        os.close(self._answers)
