"""The actors: a process, its second thread and its child, each stepped one deed at a time."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from lab.processes.partner import Gone, Partner

from .actor import Actor
from .deeds import AFTER_EXEC, OK, PENDING, Deeds
from .stage import Stage, Unclear
from .waiting import LOOK_AGAIN_S, Task

KILLED = "ends"


class Process(Actor):
    """A process, forked now; it ends with the stage."""

    def __init__(self, name: str, stage: Stage) -> None:
        self._partner = stage.actors.enter_context(Partner(Deeds(stage.files).respond))
        self.pid = self._partner.pid
        super().__init__(name, stage, Task(self.pid, self.pid))

    def _begin(self, deed: str, *values: object) -> None:
        self._partner.send(json.dumps([deed, *values]).encode())

    def _heard(self, seconds: float) -> object:
        try:
            answer = self._partner.answer(seconds)
        except Gone as gone:
            raise Unclear(f"{self.name} ended with {gone.code}") from gone
        return None if answer is None else self._read(answer)

    def _read(self, answer: bytes) -> object:
        came_to, self.heard_ns = json.loads(answer)
        return came_to

    def starts_thread(self) -> Thread:
        """Its second thread, which has its own opens of the files."""
        return Thread(f"{self.name}, its thread", self._stage, self)

    def forks(self) -> Child:
        """A child that has copies of all it has."""
        pid = self.does("fork", told_as="forks a child")
        return Child(f"{self.name}, its child", self._stage, self, int(str(pid)))

    def closes_others(self) -> None:
        """Open and close every file of the lock once more, as code does that knows nothing of the lock."""
        self.does("touch", told_as="opens the file once more, and closes that")

    def dies(self) -> None:
        """SIGKILL."""
        self._partner.kill()
        with suppress(Gone):
            self._partner.answer(self._stage.left_s())
        self._stage.show(self.name, "SIGKILL", KILLED)

    def stops(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)
        self._stage.show(self.name, "SIGSTOP", "stops")

    def continues(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)
        self._stage.show(self.name, "SIGCONT", "goes on")

    def execs(self, *, keep: bool) -> None:
        """Put another image in its place; from now on it can only die."""
        self._begin("exec", keep)
        commands = Path(f"/proc/{self.pid}/cmdline")
        while AFTER_EXEC.encode() not in commands.read_bytes():
            self._stage.left_s()
            time.sleep(LOOK_AGAIN_S)
        self._stage.show(self.name, f"execve, its descriptors {'left open' if keep else 'closed by it'}", OK)


class Second(Actor):
    """Somebody in a process who is spoken to through it: the thread and the child."""

    hear: str

    def __init__(self, name: str, stage: Stage, process: Process, task: Task | None) -> None:
        super().__init__(name, stage, task)
        self._process = process

    def _heard(self, seconds: float) -> object:
        answer = self._process.does(self.hear, seconds)
        if answer == PENDING:
            return None
        came_to, self.heard_ns = json.loads(str(answer))
        return came_to


class Thread(Second):
    """A thread, started for each deed."""

    hear = "hear_thread"

    def __init__(self, name: str, stage: Stage, process: Process) -> None:
        super().__init__(name, stage, process, None)

    def _begin(self, deed: str, *values: object) -> None:
        number = int(str(self._process.does("start_thread", deed, *values)))
        self._task = Task(self._process.pid, number)


class Child(Second):
    """A child of the process."""

    hear = "hear_child"

    def __init__(self, name: str, stage: Stage, process: Process, pid: int) -> None:
        super().__init__(name, stage, process, Task(pid, pid))

    def _begin(self, deed: str, *values: object) -> None:
        self._process.does("ask_child", deed, *values)

    def exits(self) -> None:
        """End as a program does."""
        self.does("close_and_exit", told_as="closes its descriptors, and exits")
