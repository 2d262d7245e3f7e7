"""Let the workers of a race begin again on the first content, many times in one trial.

Some mistakes show only while a structure is new, others only in a long history. So the calls of a trial of operations
are one long history and many short ones, each judged by itself. Between two of them all workers meet: once each of them
has come back from its last call, worker 0 stores the first content, and lets them go on. A new file and new processes
for each short history would take a hundred times as long.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import cycle
from time import monotonic
from typing import TYPE_CHECKING, Any

from lab.host.procfs import ENDED, process_stat
from lab.memory import MAPPED, Shared, anonymous
from lab.memory.protocol import OpenFile
from lab.scenario import Operations, Scenario
from lab.scenario.base import has_invariant

if TYPE_CHECKING:
    from .worker import Job, Setting

LEAST_ROUNDS = 16
"""A trial of fewer rounds is one history."""

SHORT = (2, 3, 4, 6)
"""The rounds of the short histories, in turns: they have the second half of all rounds."""

MOST_BYTES = 1 << 20
"""Larger files are not written again and again."""

LOOK_S = 0.05
"""After so long a worker looks whether those that it waits for still live."""


def beginnings(rounds: int) -> list[int]:
    """Return the rounds in which a history begins: the first is long."""
    starts = [0]
    if rounds >= LEAST_ROUNDS:
        at = rounds // 2
        for length in cycle(SHORT):
            starts.append(at)
            at += length
            if at >= rounds:
                break
    return starts


def begins_again(setting: Setting, folders: int, size: int) -> bool:
    """Return True where a trial may have several histories: nothing else looks at the bytes, or counts its rounds."""
    kind = type(setting.scenario)
    return (
        issubclass(kind, Operations)
        and setting.backing == MAPPED.name
        and folders == 1
        and size <= MOST_BYTES
        and not (setting.program or setting.fault or setting.stresses or setting.recorded or setting.isolate)
        and not setting.scenario.sparse
        and kind.check is Operations.check
        and kind.files is Scenario.files
        and not has_invariant(kind)
    )


class FreshStarts:
    """The place where the workers of a trial meet before each history but the first; the content is what is there."""

    def __init__(self, workers: int, rounds: int, shared: Shared) -> None:
        self._shared = shared
        self._content = bytes(shared.read_back())
        self._file: OpenFile | None = None
        self._workers = workers
        self._rounds = beginnings(rounds)
        self._history = {at: number for number, at in enumerate(self._rounds)}
        self._words = memoryview(anonymous(8 * (2 * workers + 1))).cast("Q")
        self._reached, self._pids = self._words[1 : workers + 1], self._words[workers + 1 :]

    def histories(self) -> list[int]:
        """Return the rounds in which a history has begun."""
        return self._rounds[: self._words[0] + 1]

    def work(self, scenario: Any, worker: Any) -> None:
        """Do a round of a worker, with a fresh start before it where it is the first of a history."""
        number = self._history.get(worker.round)
        if number == 0:
            self._pids[worker.index] = os.getpid()
        elif number and self._reached[worker.index] < number:  # once, also where its lock gives up
            self._reached[worker.index] = number
            if self._is_begun(worker, number):
                worker.local.__dict__.clear()
                scenario.start(worker)
        scenario.work(worker)

    def _is_begun(self, worker: Any, number: int) -> bool:
        """Begin a history together with the others; return False where it will not be: then the last one goes on."""
        if worker.index:
            self._wait(0, lambda: self._words[0] >= number)
            return self._words[0] >= number
        for index in range(1, self._workers):
            self._wait(index, lambda index=index: self._reached[index] >= number)  # type: ignore[misc]
        self._file = self._file or self._shared.open(worker.path)
        self._file.store(0, self._content)
        self._words[0] = number
        return True

    def _wait(self, index: int, until: Callable[[], bool]) -> None:
        """Wait for something that a worker does, or until it has ended; yield the CPU meanwhile."""
        look = monotonic() + LOOK_S
        while not until():
            os.sched_yield()
            if monotonic() > look:
                pid = self._pids[index]  # none yet: it has not begun its first round
                found = process_stat(pid) if pid else None
                if pid and (found is None or found.state == ENDED):
                    return
                look = monotonic() + LOOK_S


def fresh_starts(setting: Setting, job: Job, folders: int) -> FreshStarts | None:
    """Return the meeting place of a trial; None where it is one history."""
    if not begins_again(setting, folders, job.layout.size):
        return None
    return FreshStarts(setting.workers, setting.rounds, job.shared)
